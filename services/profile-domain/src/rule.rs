//! Field rules and their texts, to the letter of ZITADEL's generated validators (zitadel-api §2.2).

use profile_messages::error::FieldViolation;
use validator::ValidateLength;

/// Longest text of a field in code points.
pub(crate) const LENGTH_MAX: u64 = 200;

/// A bound on the number of code points.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Between { min: u64, max: u64 },
    AtMost { max: u64 },
}

impl Length {
    pub(crate) fn holds(self, value: &str) -> bool {
        match self {
            Length::Between { min, max } => value.validate_length(Some(min), Some(max), None),
            Length::AtMost { max } => value.validate_length(None, Some(max), None),
        }
    }

    fn rule(self) -> String {
        match self {
            Length::Between { min, max } => {
                format!("value length must be between {min} and {max} runes, inclusive")
            }
            Length::AtMost { max } => format!("value length must be at most {max} runes"),
        }
    }
}

/// All broken rules of a request, first one first. Texts hold rules and names, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    /// ZITADEL's text of the first one.
    pub message: String,
    pub fields: Vec<FieldViolation>,
}

/// Collects the violations of one message, in the order in which the rules are asked.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Name of the Go struct, e.g. `AddHumanUserRequest_Profile`.
    message_name: String,
    /// For a message inside another: name of the outer struct's field.
    outer_field: &'static str,
    json_prefix: String,
    violations: Vec<(String, FieldViolation)>,
}

impl Fields {
    pub(crate) fn of(message_name: &str) -> Fields {
        Fields {
            message_name: message_name.to_owned(),
            outer_field: "",
            json_prefix: String::new(),
            violations: Vec::new(),
        }
    }

    /// For a message whose type is declared inside this one's; give it back to [`Fields::collect`].
    pub(crate) fn nested(&self, go_name: &'static str, json_name: &str) -> Fields {
        let message_name = format!("{}_{go_name}", self.message_name);
        self.nested_type(&message_name, go_name, json_name)
    }

    /// For a message of a type of its own; give it back to [`Fields::collect`].
    pub(crate) fn nested_type(
        &self,
        message_name: &str,
        go_name: &'static str,
        json_name: &str,
    ) -> Fields {
        Fields {
            message_name: message_name.to_owned(),
            outer_field: go_name,
            json_prefix: format!("{}{json_name}.", self.json_prefix),
            violations: Vec::new(),
        }
    }

    pub(crate) fn collect(&mut self, nested: Fields) {
        for (text, violation) in nested.violations {
            let text = format!(
                "invalid {}.{}: embedded message failed validation | caused by: {text}",
                self.message_name, nested.outer_field
            );
            self.violations.push((text, violation));
        }
    }

    /// A text of a bounded length without control characters.
    pub(crate) fn length(&mut self, go_name: &str, json_name: &str, value: &str, length: Length) {
        self.any_text_length(go_name, json_name, value, length);
        if value.chars().any(char::is_control) {
            self.broken(
                go_name,
                json_name,
                "value must not contain control characters",
            );
        }
    }

    /// A text of a bounded length that is canonicalised afterwards, so that any character may come.
    pub(crate) fn any_text_length(
        &mut self,
        go_name: &str,
        json_name: &str,
        value: &str,
        length: Length,
    ) {
        if !length.holds(value) {
            self.broken(go_name, json_name, &length.rule());
        }
    }

    pub(crate) fn prefix(&mut self, go_name: &str, json_name: &str, value: &str, prefix: &str) {
        if !value.starts_with(prefix) {
            self.broken(
                go_name,
                json_name,
                &format!("value does not have prefix \"{prefix}\""),
            );
        }
    }

    pub(crate) fn required(&mut self, go_name: &str, json_name: &str) {
        self.broken(go_name, json_name, "value is required");
    }

    /// A number that is none of the enum's.
    pub(crate) fn undefined_enum(&mut self, go_name: &str, json_name: &str) {
        let rule = "value must be one of the defined enum values";
        self.broken(go_name, json_name, rule);
    }

    pub(crate) fn at_most(&mut self, go_name: &str, json_name: &str, value: u64, max: u64) {
        if value > max {
            let rule = format!("value must be less than or equal to {max}");
            self.broken(go_name, json_name, &rule);
        }
    }

    pub(crate) fn id(&mut self, go_name: &str, json_name: &str, rule: &impl std::fmt::Display) {
        self.broken(go_name, json_name, &rule.to_string());
    }

    pub(crate) fn into_result<T>(self, valid: T) -> Result<T, Violations> {
        let Some((message, _)) = self.violations.first() else {
            return Ok(valid);
        };
        let message = message.clone();
        let fields = self
            .violations
            .into_iter()
            .map(|(_, violation)| violation)
            .collect();
        Err(Violations { message, fields })
    }

    fn broken(&mut self, go_name: &str, json_name: &str, rule: &str) {
        let text = format!("invalid {}.{go_name}: {rule}", self.message_name);
        let field = format!("{}{json_name}", self.json_prefix);
        self.violations.push((
            text,
            FieldViolation {
                field,
                description: rule.to_owned(),
            },
        ));
    }
}
