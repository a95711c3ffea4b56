//! The file STORE. Little-endian; 128 bytes.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..8 | `PROFSTOR` |
//! | 8..12 | format, now 1 |
//! | 12..16 | epoch |
//! | 16..48 | store id in ASCII, filled up with zeros |
//! | 48..80 | secret: the key of all stored hashes |
//! | 80..88 | frame magic: what each frame of the log begins with |
//! | 88..124 | zero |
//! | 124..128 | CRC-32C of the bytes before |

use std::path::Path;

use super::DataDirError;

pub(super) const BYTES: usize = 128;
pub(crate) const STORE_ID_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"PROFSTOR";
const FORMAT: u32 = 1;
const CHECKED_BYTES: usize = BYTES - 4;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreFile {
    pub(crate) store_id: String,
    pub(crate) epoch: u32,
    pub(crate) secret: [u8; 32],
    pub(crate) frame_magic: [u8; 8],
}

impl StoreFile {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(self.store_id.as_bytes());
        out.resize(48, 0);
        out.extend_from_slice(&self.secret);
        out.extend_from_slice(&self.frame_magic);
        out.resize(CHECKED_BYTES, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<StoreFile, DataDirError> {
        let damaged = |what| DataDirError::Damaged {
            path: path.to_owned(),
            what,
        };
        if bytes.first_chunk() != Some(MAGIC) {
            return Err(damaged("it does not begin as a store file"));
        }
        // The place of the format is the same in all formats, the checksum may not be.
        let format = u32::from_le_bytes(field(bytes, 8).ok_or(damaged("cut short"))?);
        if format > FORMAT {
            return Err(DataDirError::Newer {
                path: path.to_owned(),
                found: format,
                known: FORMAT,
            });
        }
        let checked = bytes.get(..CHECKED_BYTES).ok_or(damaged("cut short"))?;
        let sum = u32::from_le_bytes(field(bytes, CHECKED_BYTES).ok_or(damaged("cut short"))?);
        if bytes.len() != BYTES || sum != crc32c::crc32c(checked) {
            return Err(damaged("the checksum does not fit"));
        }
        let id: [u8; STORE_ID_BYTES] = field(bytes, 16).ok_or(damaged("cut short"))?;
        let id = id.into_iter().take_while(|byte| *byte != 0).collect();
        Ok(StoreFile {
            store_id: String::from_utf8(id).map_err(|_| damaged("store id"))?,
            epoch: u32::from_le_bytes(field(bytes, 12).ok_or(damaged("cut short"))?),
            secret: field(bytes, 48).ok_or(damaged("cut short"))?,
            frame_magic: field(bytes, 80).ok_or(damaged("cut short"))?,
        })
    }
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}
