//! The request in Rust of README.md, as it stands there: a test compares the two.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    use async_nats::{ConnectOptions, HeaderMap};
    use profile_messages::envelope::{AUTHORIZATION, IDEMPOTENCY_KEY, SERVICE_ERROR_CODE};
    use profile_messages::{error::Status, reply::CommandReply, subject::Operation};

    let (url, password, token) = (
        std::env::var("NATS_URL")?,
        std::env::var("PROFILECTL_NATS_PASSWORD")?,
        std::env::var("PROFILE_TOKEN")?,
    );
    let client = ConnectOptions::with_user_and_password("requester".into(), password)
        .custom_inbox_prefix("_INBOX.requester")
        .connect(url)
        .await?;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}"));
    headers.insert(IDEMPOTENCY_KEY, "4711");
    let body = r#"{"userId":"mia","firstName":"Mia","lastName":"Mouse","displayName":"Mia M"}"#;
    let reply = client
        .request_with_headers(Operation::Update.subject(), headers, body.into())
        .await?;
    match reply
        .headers
        .as_ref()
        .and_then(|headers| headers.get(SERVICE_ERROR_CODE))
    {
        None => println!(
            "version {}",
            serde_json::from_slice::<CommandReply>(&reply.payload)?
                .details
                .sequence
        ),
        Some(_) => println!(
            "{}",
            serde_json::from_slice::<Status>(&reply.payload)?.message
        ),
    }
    Ok(())
}
