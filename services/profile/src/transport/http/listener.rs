//! Accepts connections, no more than may be open, until told to stop; then waits for those that are.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::HttpOptions;
use super::connection::Server;
use super::dispatch::Dispatch;
use crate::transport::Funnel;

/// Pause after a failed accept: most likely there are no file descriptors left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until told to stop, then waits for the requests in work. Dropped, it cuts every connection.
pub(super) async fn run<F: Funnel>(
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    options: HttpOptions,
    dispatch: Dispatch<F>,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(options.connections_max));
    let server = Arc::new(Server::new(&options, tls, dispatch, stopped.clone()));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            // Its owner is this function: it is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, socket.accept().await)
        };
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept => accepted,
        };
        match accepted {
            (place, Ok((stream, _peer))) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    let _place = place;
                    server.serve(stream).await;
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}
