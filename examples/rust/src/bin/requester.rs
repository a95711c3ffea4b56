//! Creates a user and changes its profile, as a service would that owns a form for it.
//!
//!     requester <userId> <displayName>
//!
//! Environment: NATS_URL, PROFILECTL_NATS_PASSWORD and PROFILE_TOKEN.

use anyhow::bail;
use profile_examples::client::{Change, ProfileClient, new_key};
use profile_examples::environment;
use profile_messages::error::ErrorCode;
use profile_messages::reply::{CommandReply, GetReply};
use profile_messages::subject::Operation;
use serde_json::json;

const DECISIONS_MAX: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [user_id, display_name] = arguments.as_slice() else {
        bail!("usage: requester <userId> <displayName>");
    };
    let client = ProfileClient::connect(
        &environment("NATS_URL")?,
        environment("PROFILECTL_NATS_PASSWORD")?,
        environment("PROFILE_TOKEN")?,
    )
    .await?;
    create(&client, user_id).await?;
    rename(&client, user_id, display_name).await
}

async fn create(client: &ProfileClient, user_id: &str) -> anyhow::Result<()> {
    let body = json!({
        "userId": user_id,
        "userName": user_id,
        "profile": {"firstName": "Mia", "lastName": "Mouse"},
        "email": {"email": format!("{user_id}@zoo.example")},
    });
    // A key made of what is asked for: this program, started again, asks for the same and gets the first answer.
    let change = Change {
        key: format!("create-{user_id}"),
        expected_version: None,
    };
    let created: CommandReply = client.change(Operation::Create, &body, &change).await?;
    println!("created {user_id}, version {}", created.details.sequence);
    Ok(())
}

/// Changes what was read and nothing else: if somebody was faster, reads and decides again.
async fn rename(client: &ProfileClient, user_id: &str, display_name: &str) -> anyhow::Result<()> {
    for _ in 0..DECISIONS_MAX {
        let read: GetReply = client
            .read(Operation::Get, &json!({"userId": user_id}))
            .await?;
        let version = read.details.sequence;
        // One key for each decision; its repetitions share it.
        let change = Change {
            key: new_key(),
            expected_version: Some(version),
        };
        let body = json!({"userId": user_id, "displayName": display_name});
        let changed: Result<CommandReply, _> =
            client.change(Operation::Patch, &body, &change).await;
        match changed {
            Err(error) if error.code() == Some(ErrorCode::Aborted) => {}
            Err(error) => return Err(error.into()),
            Ok(changed) => {
                let changed = changed.details.sequence;
                println!("renamed {user_id}, version {version} to {changed}");
                return Ok(());
            }
        }
    }
    bail!("{user_id} changes faster than this program decides")
}
