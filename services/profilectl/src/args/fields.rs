//! Options of the commands that write profile fields.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Target, WriteArgs};

/// The six profile fields, values as given: the service checks them.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FieldArgs {
    #[arg(long, value_name = "NAME")]
    pub(crate) first_name: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub(crate) last_name: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub(crate) nick_name: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub(crate) display_name: Option<String>,
    /// BCP 47 tag, e.g. de-CH
    #[arg(long, value_name = "TAG")]
    pub(crate) preferred_language: Option<String>,
    #[arg(long)]
    pub(crate) gender: Option<GenderArg>,
}

impl FieldArgs {
    pub(crate) fn is_empty(&self) -> bool {
        self.first_name.is_none()
            && self.last_name.is_none()
            && self.nick_name.is_none()
            && self.display_name.is_none()
            && self.preferred_language.is_none()
            && self.gender.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GenderArg {
    Unspecified,
    Female,
    Male,
    Diverse,
}

impl GenderArg {
    pub(crate) fn gender(self) -> profile_messages::Gender {
        match self {
            GenderArg::Unspecified => profile_messages::Gender::Unspecified,
            GenderArg::Female => profile_messages::Gender::Female,
            GenderArg::Male => profile_messages::Gender::Male,
            GenderArg::Diverse => profile_messages::Gender::Diverse,
        }
    }
}

/// The fields that may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClearableField {
    NickName,
    PreferredLanguage,
    Gender,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Id of the new user [default: chosen by the service]
    #[arg(long, value_name = "USER_ID")]
    pub(crate) user_id: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub(crate) user_name: Option<String>,
    #[command(flatten)]
    pub(crate) fields: FieldArgs,
    #[arg(long)]
    pub(crate) email: Option<String>,
    #[arg(long, requires = "email")]
    pub(crate) email_verified: bool,
    #[arg(long)]
    pub(crate) phone: Option<String>,
    #[arg(long, requires = "phone")]
    pub(crate) phone_verified: bool,
    #[command(flatten)]
    pub(crate) file: FileArg,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) fields: FieldArgs,
    #[command(flatten)]
    pub(crate) file: FileArg,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PatchArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) fields: FieldArgs,
    /// Fields to clear, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FIELD,…")]
    pub(crate) clear: Vec<ClearableField>,
    #[command(flatten)]
    pub(crate) file: FileArg,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Default, Args)]
pub(crate) struct FileArg {
    /// Send this JSON body as it is, `-` for standard input; in place of the field options
    #[arg(long = "file", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}
