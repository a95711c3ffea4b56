//! Exit codes: one per class of error, so that a script can branch on them.

use profile_messages::error::ErrorCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Exit {
    Ok,
    Other,
    Usage,
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    FailedPrecondition,
    Aborted,
    ResourceExhausted,
    Unavailable,
    DeadlineExceeded,
    OutcomeUnknown,
}

impl Exit {
    pub(crate) const ALL: [Exit; 13] = [
        Exit::Ok,
        Exit::Other,
        Exit::Usage,
        Exit::InvalidArgument,
        Exit::Unauthenticated,
        Exit::PermissionDenied,
        Exit::NotFound,
        Exit::FailedPrecondition,
        Exit::Aborted,
        Exit::ResourceExhausted,
        Exit::Unavailable,
        Exit::DeadlineExceeded,
        Exit::OutcomeUnknown,
    ];

    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Other => 1,
            Exit::Usage => 2,
            Exit::InvalidArgument => 3,
            Exit::Unauthenticated => 4,
            Exit::PermissionDenied => 5,
            Exit::NotFound => 6,
            Exit::FailedPrecondition => 7,
            Exit::Aborted => 8,
            Exit::ResourceExhausted => 9,
            Exit::Unavailable => 10,
            Exit::DeadlineExceeded => 11,
            Exit::OutcomeUnknown => 12,
        }
    }

    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done",
            Exit::Other => "anything else",
            Exit::Usage => "wrong usage of profilectl",
            Exit::InvalidArgument => "invalid argument: all violations are listed",
            Exit::Unauthenticated => "unauthenticated: no valid token",
            Exit::PermissionDenied => "permission denied, by the service or by the NATS server",
            Exit::NotFound => "not found",
            Exit::FailedPrecondition => "failed precondition: a rule refuses it, e.g. not changed",
            Exit::Aborted => "aborted: the expected version is not the current one",
            Exit::ResourceExhausted => "resource exhausted: try again later",
            Exit::Unavailable => "unavailable, or nobody answers the subject: nothing was done",
            Exit::DeadlineExceeded => "deadline exceeded, or a read timed out: nothing was done",
            Exit::OutcomeUnknown => {
                "outcome unknown, also a change that timed out: repeat it with the same \
                 --idempotency-key"
            }
        }
    }

    pub(crate) fn of(code: ErrorCode) -> Exit {
        match code {
            ErrorCode::InvalidArgument => Exit::InvalidArgument,
            ErrorCode::Unauthenticated => Exit::Unauthenticated,
            ErrorCode::PermissionDenied => Exit::PermissionDenied,
            ErrorCode::NotFound => Exit::NotFound,
            ErrorCode::FailedPrecondition => Exit::FailedPrecondition,
            ErrorCode::Aborted => Exit::Aborted,
            ErrorCode::ResourceExhausted => Exit::ResourceExhausted,
            ErrorCode::DeadlineExceeded => Exit::DeadlineExceeded,
            ErrorCode::Unavailable => Exit::Unavailable,
            ErrorCode::OutcomeUnknown => Exit::OutcomeUnknown,
            ErrorCode::OutOfRange | ErrorCode::Unimplemented | ErrorCode::Internal => Exit::Other,
        }
    }
}

/// The table of exit codes for `--help`.
pub(crate) fn help() -> String {
    let lines = Exit::ALL.map(|exit| format!("  {:>2}  {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_has_its_exit_code() {
        let table = [
            (ErrorCode::InvalidArgument, 3),
            (ErrorCode::Unauthenticated, 4),
            (ErrorCode::PermissionDenied, 5),
            (ErrorCode::NotFound, 6),
            (ErrorCode::FailedPrecondition, 7),
            (ErrorCode::Aborted, 8),
            (ErrorCode::ResourceExhausted, 9),
            (ErrorCode::Unavailable, 10),
            (ErrorCode::DeadlineExceeded, 11),
            (ErrorCode::OutcomeUnknown, 12),
            (ErrorCode::OutOfRange, 1),
            (ErrorCode::Unimplemented, 1),
            (ErrorCode::Internal, 1),
        ];
        assert_eq!(table.len(), ErrorCode::ALL.len());
        for (code, exit) in table {
            assert_eq!(Exit::of(code).code(), exit, "{code:?}");
        }
    }

    #[test]
    fn exit_codes_are_0_to_12_in_order_and_all_in_the_help() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, std::array::from_fn(|index| index as u8));
        for exit in Exit::ALL {
            assert!(help().contains(&format!("{:>2}  {}", exit.code(), exit.meaning())));
        }
    }
}
