use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt as _;

use super::*;

fn watched() -> Watched {
    Watched::new(Arc::new(Metrics::new("1.2.3")))
}

async fn asked(watched: &Watched, path: &str, query: Option<&str>) -> (u16, String) {
    let answer = answer(watched, &Method::GET, path, query);
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn it_is_alive_from_the_first_moment_and_ready_only_once_it_serves() {
    let watched = watched();
    assert_eq!(
        asked(&watched, "/livez", None).await,
        (200, "ok\n".to_owned())
    );
    let starting = (503, "starting\n".to_owned());
    assert_eq!(asked(&watched, "/readyz", None).await, starting);
    watched.serve_with(Vec::new());
    assert_eq!(
        asked(&watched, "/readyz", None).await,
        (200, "ok\n".to_owned())
    );
}

#[tokio::test]
async fn what_is_not_well_is_named_with_its_reason() {
    let watched = watched();
    let is_well = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&is_well);
    watched.serve_with(vec![
        Check {
            name: "log",
            look: Box::new(|| Ok(())),
        },
        Check {
            name: "nats",
            look: Box::new(move || match seen.load(Ordering::Relaxed) {
                true => Ok(()),
                false => Err("not connected".to_owned()),
            }),
        },
    ]);
    let verbose = asked(&watched, "/readyz", Some("verbose")).await;
    assert_eq!(verbose, (200, "[+]log ok\n[+]nats ok\nok\n".to_owned()));
    is_well.store(false, Ordering::Relaxed);
    let refused = "[+]log ok\n[-]nats failed: not connected\nnot ready\n".to_owned();
    assert_eq!(asked(&watched, "/readyz", None).await, (503, refused));
    assert_eq!(asked(&watched, "/livez", None).await.0, 200);
}

#[tokio::test]
async fn metrics_are_open_metrics_and_nothing_else_is_here() {
    let watched = watched();
    let (status, text) = asked(&watched, "/metrics", None).await;
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(asked(&watched, "/", None).await.0, 404);
    let refused = answer(&watched, &Method::POST, "/metrics", None);
    assert_eq!(refused.status(), 405);
}
