//! One rule for all errors of the workspace: each describes its own level, its source is the next level, and nothing is
//! said twice.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use iolite::bridge::{Bridge, CallError, PostError, PostErrorKind};
use iolite::evented::op::CanceledById;
use iolite::net::{ConnectError, TcpListener, TcpStream};
use iolite::sync::{RecvError, SendError, SendErrorKind, TryRecvError, broadcast};
use iolite::{
    BackendChoice, Canceled, Config, Incomplete, Io, RunError, SpawnError, SpawnErrorKind, TimedOut, WaitError,
    error::{ConcurrencyUnavailable, InvalidOption, ShutDown},
    process,
};

/// An error, the number of its levels, and the name of its type.
type Row = (&'static str, usize, Box<dyn Error>);

/// Returns each error type of the workspace, and each of its forms that has a source.
fn errors(io: &dyn Io) -> Vec<Row> {
    let os = || io::Error::from_raw_os_error(104);
    let refused = || ConcurrencyUnavailable::refused_by_system("concurrent_limit", 7, os());
    let nothing = std::env::temp_dir().join("there is no such program");
    vec![
        ("Canceled", 1, Box::new(canceled(io))),
        ("TimedOut", 1, Box::new(TimedOut)),
        ("ShutDown", 1, Box::new(ShutDown)),
        ("WaitError", 1, Box::new(WaitError::Canceled(canceled(io)))),
        ("WaitError", 1, Box::new(WaitError::TimedOut(TimedOut))),
        ("InvalidOption", 1, Box::new(InvalidOption::StackSize { bytes: 1 })),
        ("ConcurrencyUnavailable", 1, Box::new(ConcurrencyUnavailable::limit_reached("concurrent_limit", 7))),
        ("ConcurrencyUnavailable", 2, Box::new(refused())),
        ("SpawnErrorKind", 1, Box::new(SpawnErrorKind::NoHandle)),
        ("SpawnErrorKind", 1, Box::new(SpawnErrorKind::Canceled(canceled(io)))),
        ("SpawnErrorKind", 2, Box::new(SpawnErrorKind::ConcurrencyUnavailable(refused()))),
        ("SpawnErrorKind", 2, Box::new(io::Error::from(SpawnErrorKind::ConcurrencyUnavailable(refused())))),
        (
            "SpawnError",
            2,
            Box::new(SpawnError { closure: (), kind: SpawnErrorKind::ConcurrencyUnavailable(refused()) }),
        ),
        ("SendErrorKind", 1, Box::new(SendErrorKind::Canceled(canceled(io)))),
        ("SendError", 1, Box::new(SendError { item: (), kind: SendErrorKind::Full })),
        ("RecvError", 1, Box::new(RecvError::Closed)),
        ("TryRecvError", 1, Box::new(TryRecvError::Empty)),
        ("broadcast::RecvError", 1, Box::new(broadcast::RecvError::Lagged(3))),
        ("CallError", 2, Box::new(CallError::Canceled(canceled(io)))),
        ("CallError", 1, Box::new(CallError::NotCommitted("the disk is full".into()))),
        ("CallError", 1, Box::new(io::Error::from(CallError::State("it was not made".into())))),
        ("PostErrorKind", 1, Box::new(PostErrorKind::TimedOut(TimedOut))),
        ("PostError", 1, Box::new(PostError { closure: (), kind: PostErrorKind::Full })),
        ("CanceledById", 1, Box::new(CanceledById)),
        ("ConfigError", 1, Box::new(Config::from_vars([("IOLITE_BACKEND", "evnted")]).expect_err("refused"))),
        ("RunError", 1, Box::new(RunError::from(Config::new().executors(0).check().expect_err("refused")))),
        (
            "RunError",
            2,
            Box::new(io::Error::from(RunError::Unavailable { backend: BackendChoice::Evented, cause: os() })),
        ),
        ("Incomplete", 2, Box::new(Incomplete { count: 3, unwritten: Vec::new(), source: os() })),
        ("Incomplete", 2, Box::new(Incomplete { count: 3, unwritten: vec![1], source: TimedOut.into() })),
        ("Incomplete", 2, Box::new(ended_in_the_middle(io))),
        ("ConnectError", 1, Box::new(ConnectError { attempts: vec![(([127, 0, 0, 1], 1).into(), os())] })),
        ("ConnectError", 1, Box::new(ConnectError { attempts: vec![] })),
        ("Explained", 2, Box::new(process::spawn(io, &mut Command::new(nothing)).map(drop).expect_err("no program"))),
        ("Explained", 2, Box::new(TcpStream::connect(io, "host.invalid:1").map(drop).expect_err("no such host"))),
    ]
}

fn canceled(io: &dyn Io) -> Canceled {
    let task = io.spawn_async(|io| io.sleep(Duration::MAX));
    task.cancel(io).expect_err("nothing else ends it")
}

fn ended_in_the_middle(io: &dyn Io) -> io::Error {
    let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
    let client = TcpStream::connect(io, listener.local_addr(io).expect("bound")).expect("connected");
    let (server, _) = listener.accept(io).expect("accepted");
    server.write_all(io, b"abc").expect("sent");
    drop(server);
    client.read_exact(io, &mut [0; 9]).expect_err("six bytes do not come")
}

/// Returns the texts of an error and of its sources.
fn levels(error: &dyn Error) -> Vec<String> {
    let mut levels = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        levels.push(error.to_string());
        next = error.source();
    }
    levels
}

#[test]
fn each_level_says_its_own_and_nothing_twice() {
    let config = Config::new().backend(BackendChoice::Threaded).async_limit(4);
    iolite::run(config, |io| {
        for (name, count, error) in errors(io) {
            let levels = levels(&*error);
            assert_eq!(levels.len(), count, "{name}: {levels:?}");
            for (level, text) in levels.iter().enumerate() {
                assert!(!text.is_empty(), "{name}: level {level} of {levels:?} says nothing");
                let again = levels[level + 1..].iter().find(|below| text.contains(&**below));
                assert!(again.is_none(), "{name}: {again:?} is said twice in {levels:?}");
            }
        }
    })
    .expect("threads are everywhere");
}

/// A bridge's error about a state that could not be made has the texts of all levels, because the error itself does not
/// reach the caller.
#[test]
fn a_bridge_tells_why_there_is_no_state_with_all_sources() {
    let config = Config::new().backend(BackendChoice::Threaded);
    iolite::run(config, |io| {
        let make =
            || Err::<(), _>(Incomplete { count: 3, unwritten: vec![1], source: io::ErrorKind::BrokenPipe.into() });
        let error =
            Bridge::builder("broken").workers(1).state(make).start(io).map(drop).expect_err("there is no state");
        assert_eq!(
            error.to_string(),
            "bridge broken: worker 0 has no state: ended after 3 bytes, with 1 more that were read: broken pipe"
        );
    })
    .expect("threads are everywhere");
}

/// A new error type needs a row in the table.
#[test]
fn every_error_type_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut types = BTreeSet::new();
    for folder in ["src", "io/src", "threaded/src", "evented/src", "bridge/src", "conformance/src"] {
        collect(&root.join(folder), &mut types);
    }
    assert!(types.len() > 15, "of the error types only {types:?} were found");
    let config = Config::new().backend(BackendChoice::Threaded).async_limit(4);
    let rows = iolite::run(config, |io| errors(io).into_iter().map(|(name, ..)| name).collect::<BTreeSet<_>>());
    let rows = rows.expect("threads are everywhere");
    let missing: Vec<&String> = types.iter().filter(|name| !rows.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

/// Collects the types that implement `Error` in a folder's files, without tests.
fn collect(folder: &Path, types: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, types);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap_or_default();
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| line.starts_with("impl")) {
            let Some((_, name)) = line.split_once(" Error for ") else { continue };
            types.insert(name.chars().take_while(|c| c.is_alphanumeric()).collect());
        }
    }
}
