//! prost-reflect as the second opinion: protobuf and protobuf JSON by the descriptors alone.

use std::sync::LazyLock;

use profile_messages::command::CommandRequest;
use profile_messages::query::QueryRequest;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};

use crate::transport::Request;
use crate::transport::api::{Call, proto};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).expect("our own descriptors"));

fn input(call: Call) -> MessageDescriptor {
    let service = POOL.get_service_by_name(call.service().name());
    let service = service.expect("a service of ours");
    let mut methods = service.methods();
    let method = methods.find(|method| method.name() == call.method());
    method.expect("a method of ours").input()
}

/// The message of `call`, if the bytes are one.
pub(super) fn decoded(call: Call, message: &[u8]) -> Option<DynamicMessage> {
    DynamicMessage::decode(input(call), message).ok()
}

/// Protobuf JSON with every plain field in it.
pub(super) fn json_of(message: &DynamicMessage) -> Vec<u8> {
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut json = serde_json::Serializer::new(Vec::new());
    let written = message.serialize_with_options(&mut json, &options);
    written.expect("a message without numbers that JSON has not");
    json.into_inner()
}

/// The message of `call` that a JSON text is, if it is one.
pub(super) fn proto_of_json(call: Call, text: &[u8]) -> Option<Vec<u8>> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = DynamicMessage::deserialize_with_options(input(call), &mut json, &options);
    read.ok().map(|message| message.encode_to_vec())
}

/// Whether two requests are the same where absent and zero are one: JSON leaves out what a protobuf message
/// always has.
pub(super) fn same_but_for_absence(json: &Request, proto: &Request) -> bool {
    json == proto || told(json) == told(proto)
}

/// What a request says, without what only JSON has and with zero values taken for absent ones.
fn told(request: &Request) -> String {
    let text = match request {
        Request::Command(command) => format!("{:?}", without_our_own(command.clone())),
        Request::Query(QueryRequest::ChangesMe { body }) => {
            let mut body = body.clone();
            body.user_id = None;
            format!("{body:?}")
        }
        Request::Query(query) => format!("{query:?}"),
    };
    // A quote inside a text is escaped there: only whole values are met.
    [
        "Some(\"\")",
        "Some(WireGender(None))",
        "Some(WireGender(Some(0)))",
        "Some(WireU64(0))",
        "Some(false)",
    ]
    .into_iter()
    .fold(text, |text, zero| text.replace(zero, "None"))
}

/// `userId` where only NATS has it: the messages of ZITADEL ignore it there.
fn without_our_own(mut command: CommandRequest) -> CommandRequest {
    match &mut command {
        CommandRequest::UpdateMe { body } => body.user_id = None,
        CommandRequest::Create(body) => {
            body.user_id = None;
            if let Some(profile) = &mut body.profile {
                profile.0.user_id = None;
            }
        }
        CommandRequest::Import(body) => {
            if let Some(profile) = &mut body.profile {
                profile.0.user_id = None;
            }
        }
        CommandRequest::AddHuman(_)
        | CommandRequest::CreateUser(_)
        | CommandRequest::Update { .. }
        | CommandRequest::Patch { .. }
        | CommandRequest::PatchMe { .. }
        | CommandRequest::UpdateHuman { .. }
        | CommandRequest::UpdateUser { .. }
        | CommandRequest::Remove { .. } => {}
    }
    command
}
