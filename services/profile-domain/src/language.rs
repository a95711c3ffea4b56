//! Language tags: canonical BCP 47, best effort on bad ones (zitadel-api §2.5).

use icu_locale::{Locale, LocaleCanonicalizer};
use profile_messages::LANGUAGE_UNDETERMINED;

thread_local! {
    // ICU's canonicaliser is not Sync; its tables are compiled in, so one per thread costs nothing.
    static CANONICALIZER: LocaleCanonicalizer = const { LocaleCanonicalizer::new_extended() };
}

/// The canonical form of `text`, of its longest valid prefix of subtags, or `und`.
///
/// ZITADEL ignores parse errors and keeps what Go's x/text made of the tag; ICU's canonicaliser follows
/// the same CLDR data. The rare differences are pinned by the tests of this module.
pub fn canonical_language(text: &str) -> String {
    let hyphenated = text.replace('_', "-");
    let mut prefix = hyphenated.as_str();
    while !prefix.is_empty() {
        if let Ok(mut locale) = Locale::try_from_str(prefix) {
            CANONICALIZER.with(|canonicalizer| canonicalizer.canonicalize(&mut locale));
            return locale.to_string();
        }
        prefix = prefix.rsplit_once('-').map_or("", |(shorter, _)| shorter);
    }
    LANGUAGE_UNDETERMINED.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_come_out_as_zitadel_stores_them() {
        for (input, stored) in [
            ("", "und"),
            ("en", "en"),
            ("EN", "en"),
            ("en-US", "en-US"),
            ("en_US", "en-US"),
            ("DE-ch", "de-CH"),
            ("und", "und"),
            ("123", "und"),
            ("日本", "und"),
            (" en", "und"),
            ("en-", "en"),
            ("zh-Hans-CN", "zh-Hans-CN"),
            ("iw", "he"),
            ("in", "id"),
            ("tl", "fil"),
            ("nb", "nb"),
            ("no", "no"),
            ("deu", "de"),
            ("en-u-ca-bu", "en-u-bu-ca"),
            ("root", "und"),
            ("english", "und"),
        ] {
            assert_eq!(canonical_language(input), stored, "{input:?}");
        }
    }

    /// Where ICU and Go's x/text differ; listed in the README.
    #[test]
    fn known_differences_to_zitadel_stay_as_they_are() {
        for (input, ours) in [("zz", "zz"), ("x-foo", "und")] {
            assert_eq!(canonical_language(input), ours, "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_tag_that_is_its_own_canonical_form(text in "\\PC{0,12}") {
            let once = canonical_language(&text);
            prop_assert_eq!(canonical_language(&once), once);
        }
    }
}
