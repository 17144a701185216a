//! The frames of the firehose: two DAG-CBOR objects, a header and a body, one after the other.

use std::fmt;

use ipld_core::cid::Cid;
use ipld_core::cid::multihash::Multihash;
use serde::{Deserialize, Serialize};
use serde_ipld_dagcbor::{de::Deserializer, to_writer};

/// The operation in the header of an ordinary frame; -1 announces an error.
const OPERATION_MESSAGE: i64 = 1;
/// The only type of message that is relayed.
const KIND_COMMIT: &str = "#commit";
/// The content hash of these addresses: SHA-256.
const HASH_SHA2_256: u64 = 0x12;
/// The content codec of these addresses: DAG-CBOR.
const CODEC_DAG_CBOR: u64 = 0x71;
/// The maximum length of a list of repository operations, as in the AT Protocol.
const OPS_MAX: usize = 200;

#[derive(Debug, Deserialize, Serialize)]
struct Header<'a> {
    op: i64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    t: Option<&'a str>,
}

/// One commit to a repository, as a host reports it. Borrows from the frame.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Commit<'a> {
    /// The number of the event: contiguous per host. In the relay's own events it is the position.
    pub(crate) seq: u64,
    pub(crate) repo: &'a str,
    pub(crate) time: &'a str,
    #[serde(borrow)]
    pub(crate) ops: Vec<RepoOp<'a>>,
    #[serde(with = "serde_bytes")]
    pub(crate) blocks: &'a [u8],
}

/// The effect of the commit on one record.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RepoOp<'a> {
    pub(crate) action: &'a str,
    pub(crate) path: &'a str,
    pub(crate) cid: Option<Cid>,
}

/// The reason why a frame is not relayed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The first object is not a header.
    Header(String),
    /// The header belongs to something other than a commit.
    Kind(String),
    /// The second object is not a commit, or something follows it.
    Body(String),
    /// The commit breaks a rule.
    Rule(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "its header does not decode: {error}"),
            Self::Kind(kind) => write!(f, "it is of the kind {kind}"),
            Self::Body(error) => write!(f, "its body does not decode: {error}"),
            Self::Rule(rule) => write!(f, "its body breaks a rule: {rule}"),
        }
    }
}

/// Decodes and checks a frame.
pub(crate) fn decode(bytes: &[u8]) -> Result<Commit<'_>, Malformed> {
    let mut objects = Deserializer::from_slice(bytes);
    let header = Header::deserialize(&mut objects).map_err(|error| Malformed::Header(error.to_string()))?;
    if (header.op, header.t) != (OPERATION_MESSAGE, Some(KIND_COMMIT)) {
        return Err(Malformed::Kind(format!("op {}, type {:?}", header.op, header.t)));
    }
    let commit = Commit::deserialize(&mut objects).map_err(|error| Malformed::Body(error.to_string()))?;
    objects.end().map_err(|error| Malformed::Body(error.to_string()))?;
    commit.check()?;
    Ok(commit)
}

impl Commit<'_> {
    /// Returns the frame of this commit.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256 + self.blocks.len());
        let header = Header { op: OPERATION_MESSAGE, t: Some(KIND_COMMIT) };
        to_writer(&mut bytes, &header).expect("a header encodes");
        to_writer(&mut bytes, self).expect("a commit encodes");
        bytes
    }

    fn check(&self) -> Result<(), Malformed> {
        let rule = |kept: bool, rule| if kept { Ok(()) } else { Err(Malformed::Rule(rule)) };
        rule(self.seq > 0, "`seq` counts from 1")?;
        rule(self.repo.starts_with("did:"), "`repo` is a DID")?;
        rule(humantime::parse_rfc3339(self.time).is_ok(), "`time` is in RFC 3339")?;
        rule(self.ops.len() <= OPS_MAX, "`ops` has 200 entries at most")?;
        rule(!self.blocks.is_empty(), "`blocks` is not empty")?;
        self.ops.iter().try_for_each(|op| {
            rule(matches!(op.action, "create" | "update" | "delete"), "`action` is create, update or delete")?;
            rule(op.path.contains('/'), "`path` is a collection, a slash and a key")?;
            rule(op.cid.is_some() != (op.action == "delete"), "`cid` is there unless the record is deleted")
        })
    }
}

/// Returns the frame that host `host` emits under the number `seq`. Only its time varies, so an upstreams process can
/// repeat what it, or an earlier process, has sent.
pub(crate) fn emitted(host: u32, seq: u64, time: &str) -> Vec<u8> {
    let mut noise = Noise((u64::from(host) << 32) ^ seq);
    let repo = format!("did:plc:{:016x}", ((noise.next() % 1000) << 16) | u64::from(host));
    let path = format!("app.bsky.feed.post/{:013x}", noise.next() >> 12);
    let mut blocks = vec![0; 96 + (noise.next() % 160) as usize];
    blocks.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&noise.next().to_le_bytes()[..chunk.len()]));
    let action = if noise.one_in(8) { "delete" } else { "create" };
    let cid = (action == "create").then(|| address(&blocks[..32]));
    Commit { seq, repo: &repo, time, ops: vec![RepoOp { action, path: &path, cid }], blocks: &blocks }.encode()
}

fn address(digest: &[u8]) -> Cid {
    Cid::new_v1(CODEC_DAG_CBOR, Multihash::wrap(HASH_SHA2_256, digest).expect("32 bytes fit"))
}

/// A sequence of numbers that depends only on its seed (splitmix64), for test content and for dice.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns true with a probability of one in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }
}

#[cfg(test)]
mod test {
    use super::{Commit, Malformed, Noise, decode, emitted};

    const TIME: &str = "2026-01-02T03:04:05.678Z";

    #[test]
    fn emitted_frames_decode_to_what_was_encoded() {
        for seq in 1..200 {
            let bytes = emitted(7, seq, TIME);
            let commit = decode(&bytes).unwrap();
            assert_eq!((commit.seq, commit.time), (seq, TIME));
            assert_eq!(commit.encode(), bytes);
            assert_eq!(emitted(7, seq, TIME), bytes, "the same number is the same frame");
        }
        assert_ne!(emitted(7, 1, TIME), emitted(8, 1, TIME));
    }

    #[test]
    fn every_prefix_is_malformed_and_so_is_a_suffix() {
        let bytes = emitted(1, 1, TIME);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{end} bytes of {}", bytes.len());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(decode(&longer), Err(Malformed::Body(_))));
    }

    #[test]
    fn noise_never_panics_the_decoder() {
        let original = emitted(3, 9, TIME);
        let mut noise = Noise(42);
        for _ in 0..20_000 {
            let mut bytes = original.clone();
            for _ in 0..=noise.next() % 3 {
                let index = noise.next() as usize % bytes.len();
                bytes[index] = noise.next() as u8;
            }
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn broken_rules_are_named() {
        let bytes = emitted(1, 1, TIME);
        let rule = |change: fn(&mut Commit<'_>)| {
            let mut commit = decode(&bytes).unwrap();
            change(&mut commit);
            match decode(&commit.encode()) {
                Err(Malformed::Rule(rule)) => rule,
                other => panic!("{other:?}"),
            }
        };
        assert!(rule(|commit| commit.seq = 0).contains("`seq`"));
        assert!(rule(|commit| commit.repo = "alice").contains("`repo`"));
        assert!(rule(|commit| commit.time = "noon").contains("`time`"));
        assert!(rule(|commit| commit.blocks = &[]).contains("`blocks`"));
        assert!(rule(|commit| commit.ops[0].action = "burn").contains("`action`"));
        assert!(rule(|commit| commit.ops[0].path = "post").contains("`path`"));
    }

    #[test]
    fn other_kinds_are_refused() {
        // {"op": -1} is an error frame.
        assert!(matches!(decode(&[0xa1, 0x62, b'o', b'p', 0x20]), Err(Malformed::Kind(_))));
        assert!(matches!(decode(b"\xff"), Err(Malformed::Header(_))));
    }
}
