//! The hash of everything that happened, cheap enough to take in every byte of every record.

use profile_messages::record::Record;

#[derive(Debug, Default)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) fn number(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.number(u64::from(*byte));
        }
    }

    pub(crate) fn record(&mut self, record: &Record) {
        self.number(record.position.0);
        self.number(record.previous.0);
        self.number(record.at.0.cast_unsigned());
        if let Some(key) = record.key {
            self.bytes(&key.hash);
        }
        self.bytes(&record.request_hash);
        self.bytes(&record.event);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0
    }
}
