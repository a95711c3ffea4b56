//! The machine-readable contract: made from the code's own definitions and held against them. The files
//! under `messages/schemas` that are made here are checked in; `BLESS=1` (`make schemas`) writes them anew.

mod asyncapi;
mod contract;
mod fields;
mod html;
mod json;
mod operations;
mod page;
mod served;

use std::fs;

use profile_messages::schema;
use profile_tests::repository;

use json::Json;

/// Each file that is made, by its path, and what it has to hold.
fn made() -> [(&'static str, String); 2] {
    let asyncapi = asyncapi::document();
    let page = page::page(&asyncapi, &Json::read(schema::OPENAPI));
    [
        ("messages/schemas/asyncapi.json", asyncapi.write()),
        ("messages/schemas/page.html", page),
    ]
}

#[test]
fn the_documents_are_what_the_code_says() {
    for (path, text) in made() {
        let file = repository::file(path);
        if std::env::var("BLESS").as_deref() == Ok("1") {
            fs::write(&file, &text).expect("our own file");
        }
        let there = fs::read_to_string(&file).expect("our own file");
        let differs = there
            .lines()
            .zip(text.lines())
            .position(|(one, other)| one != other);
        assert!(
            there == text,
            "{path} differs from line {differs:?} on. Advice: make schemas, and look at the difference"
        );
    }
}
