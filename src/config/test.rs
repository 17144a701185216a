use std::time::Duration;

use super::settings::{KEYS, Key};
use super::{BackendChoice, Config};

/// Returns the error of one or more environment variables.
fn env_error(variables: &[(&str, &str)]) -> String {
    Config::from_vars(variables.iter().copied()).expect_err("has to be refused").to_string()
}

fn env(variables: &[(&str, &str)]) -> Config {
    Config::from_vars(variables.iter().copied()).expect("has to be accepted")
}

#[test]
fn nothing_set_is_all_default() {
    let config = env(&[("PATH", "/bin"), ("IOLITE", "x"), ("iolite_backend", "x")]);
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::new()));
}

#[test]
fn each_variable_is_documented() {
    for key in KEYS {
        let variable = format!("`{}`", Key::variable(key.name));
        assert!(include_str!("env.rs").contains(&variable), "`from_env` does not tell {variable}");
    }
}

#[test]
fn the_table_of_readme_has_each_key_and_which_backend_has_it() {
    let (_, table) = include_str!("../../README.md").split_once("\n| key | value |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: Vec<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`'), cells[3].starts_with("not allowed"), cells[4].starts_with("not allowed"))
        })
        .collect();
    let is_only = |key: &Key, backend| key.only == Some(backend);
    let settings: Vec<_> = KEYS
        .iter()
        .map(|key| (key.name, is_only(key, BackendChoice::Evented), is_only(key, BackendChoice::Threaded)))
        .collect();
    assert_eq!(told, settings);
}

#[test]
fn each_variable_is_read() {
    let config = env(&[
        ("IOLITE_BACKEND", "auto"),
        ("IOLITE_ASYNC_LIMIT", "0"),
        ("IOLITE_CONCURRENT_LIMIT", "5000"),
        ("IOLITE_STACK_SIZE", "256KiB"),
        ("IOLITE_MAIN_STACK_SIZE", "16MiB"),
        ("IOLITE_EXECUTORS", "2"),
        ("IOLITE_OFFLOAD_LIMIT", "8"),
        ("IOLITE_LOOKUP_LIMIT", "16"),
        ("IOLITE_LOOKUP_TIMEOUT", "5s"),
        ("IOLITE_IDLE_TIMEOUT", "2min"),
        ("IOLITE_SHUTDOWN_GRACE", "500ms"),
    ]);
    assert_eq!(config.backend, Some(BackendChoice::Auto));
    assert_eq!(config.async_limit, Some(0));
    assert_eq!(config.concurrent_limit, Some(5000));
    assert_eq!(config.stack_size, Some(256 << 10));
    assert_eq!(config.main_stack_size, Some(16 << 20));
    assert_eq!(config.executors, Some(2));
    assert_eq!(config.offload_limit, Some(8));
    assert_eq!(config.lookup_limit, Some(16));
    assert_eq!(config.lookup_timeout, Some(Duration::from_secs(5)));
    assert_eq!(config.idle_timeout, Some(Duration::from_secs(120)));
    assert_eq!(config.shutdown_grace, Some(Duration::from_millis(500)));
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [("65536", 1 << 16), ("64 KiB", 1 << 16), ("8MiB", 8 << 20), ("1gib", 1 << 30)] {
        assert_eq!(env(&[("IOLITE_STACK_SIZE", text)]).stack_size, Some(bytes), "{text}");
    }
}

#[test]
fn a_bad_value_is_one_line_that_names_the_variable() {
    for (variable, value, what) in [
        (
            "IOLITE_BACKEND",
            "evnted",
            "unknown backend \"evnted\"; expected threaded, evented or auto (did you mean evented?)",
        ),
        ("IOLITE_ASYNC_LIMIT", "-1", "\"-1\" is not a valid count: expected a whole number such as 0 or 64"),
        ("IOLITE_CONCURRENT_LIMIT", "many", "\"many\" is not a valid count: expected a whole number such as 0 or 64"),
        (
            "IOLITE_STACK_SIZE",
            "8MB",
            "\"8MB\" is not a valid size: expected a number of bytes such as 262144, 256KiB or 8MiB",
        ),
        (
            "IOLITE_STACK_SIZE",
            "99999999999GiB",
            "\"99999999999GiB\" is not a valid size: expected a number of bytes such as 262144, 256KiB or 8MiB",
        ),
        ("IOLITE_STACK_SIZE", "256", "256 bytes are out of range: a stack has 32KiB to 1GiB"),
        ("IOLITE_STACK_SIZE", "2GiB", "2147483648 bytes are out of range: a stack has 32KiB to 1GiB"),
        ("IOLITE_MAIN_STACK_SIZE", "31KiB", "31744 bytes are out of range: a stack has 32KiB to 1GiB"),
        ("IOLITE_EXECUTORS", "0", "0 is out of range: expected 1 to 1024 executors"),
        ("IOLITE_OFFLOAD_LIMIT", "0", "0 is out of range: expected 1 to 1024 threads"),
        ("IOLITE_LOOKUP_LIMIT", "1025", "1025 is out of range: expected 1 to 1024 threads"),
        ("IOLITE_LOOKUP_TIMEOUT", "0s", "0 is out of range: expected a duration above zero"),
        ("IOLITE_EXECUTORS", "", "\"\" is not a valid count: expected a whole number such as 0 or 64"),
        (
            "IOLITE_IDLE_TIMEOUT",
            "10",
            "\"10\" is not a valid duration: expected a number with a unit such as 500ms, 10s or 2min",
        ),
        (
            "IOLITE_SHUTDOWN_GRACE",
            "soon\n",
            "\"soon\\n\" is not a valid duration: expected a number with a unit such as 500ms, 10s or 2min",
        ),
    ] {
        assert_eq!(env_error(&[(variable, value)]), format!("{variable}: {what}"));
    }
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let error = Config::from_vars([(OsStr::new("IOLITE_BACKEND"), OsStr::from_bytes(b"\xff"))]).unwrap_err();
    assert_eq!(error.to_string(), "IOLITE_BACKEND: the value is not valid UTF-8");
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest() {
    let error = env_error(&[("IOLITE_EXECUTERS", "2")]);
    assert_eq!(error, "IOLITE_EXECUTERS: unknown variable; the nearest known one is IOLITE_EXECUTORS");
    let error = env_error(&[("IOLITE_CONFG", "x")]);
    assert_eq!(error, "IOLITE_CONFG: unknown variable; the nearest known one is IOLITE_CONFIG");
}

#[test]
fn variables_of_tests_are_ignored() {
    assert_eq!(env(&[("IOLITE_TEST_ROUNDS", "7")]).backend, None);
}

#[test]
fn of_two_faults_the_first_by_name_is_reported() {
    let error = env_error(&[("IOLITE_EXECUTORS", "x"), ("IOLITE_ASYNC_LIMIT", "y")]);
    assert!(error.starts_with("IOLITE_ASYNC_LIMIT:"), "{error}");
}

#[test]
fn settings_of_the_other_backend_are_refused() {
    assert_eq!(
        env_error(&[("IOLITE_BACKEND", "threaded"), ("IOLITE_EXECUTORS", "2")]),
        "IOLITE_EXECUTORS: only the evented backend has it, but backend is threaded; leave it out or choose evented \
         or auto"
    );
    assert_eq!(
        env_error(&[("IOLITE_BACKEND", "threaded"), ("IOLITE_MAIN_STACK_SIZE", "1MiB")]),
        "IOLITE_MAIN_STACK_SIZE: only the evented backend has it, but backend is threaded; leave it out or choose \
         evented or auto"
    );
    assert_eq!(
        env_error(&[("IOLITE_BACKEND", "evented"), ("IOLITE_IDLE_TIMEOUT", "2s")]),
        "IOLITE_IDLE_TIMEOUT: only the threaded backend has it, but backend is evented; leave it out or choose \
         threaded or auto"
    );
    env(&[("IOLITE_BACKEND", "auto"), ("IOLITE_EXECUTORS", "2"), ("IOLITE_IDLE_TIMEOUT", "2s")]);
}

#[test]
fn the_smallest_stack_is_the_backends() {
    let fault = |choice| Config::new().backend(choice).stack_size(32 << 10).check().map_err(|error| error.to_string());
    assert_eq!(fault(BackendChoice::Evented), Ok(()));
    let refused = |choice| {
        Err(format!("stack_size: 32768 bytes are out of range: a stack has 64KiB to 1GiB with backend = {choice}"))
    };
    assert_eq!(fault(BackendChoice::Threaded), refused("threaded"));
    assert_eq!(fault(BackendChoice::Auto), refused("auto"));
    assert_eq!(Config::new().stack_size(32 << 10).check().map_err(|error| error.to_string()), refused("auto"));
    // The reader of one source does not know the other sources yet.
    assert_eq!(env(&[("IOLITE_STACK_SIZE", "32KiB")]).backend(BackendChoice::Evented).check(), Ok(()));
    assert_eq!(
        env_error(&[("IOLITE_BACKEND", "threaded"), ("IOLITE_STACK_SIZE", "32KiB")]),
        "IOLITE_STACK_SIZE: 32768 bytes are out of range: a stack has 64KiB to 1GiB with backend = threaded"
    );
}

#[test]
fn values_set_in_code_are_checked_too() {
    let fault = |config: Config| config.check().unwrap_err().to_string();
    assert!(fault(Config::new().stack_size(1)).starts_with("stack_size: 1 bytes are out of range"));
    assert!(fault(Config::new().main_stack_size(1)).starts_with("main_stack_size: 1 bytes are out of range"));
    assert!(fault(Config::new().executors(0)).starts_with("executors: 0 is out of range"));
    assert!(fault(Config::new().backend(BackendChoice::Threaded).executors(1)).starts_with("executors: only"));
    assert!(fault(Config::new().offload_limit(0)).starts_with("offload_limit: 0 is out of range"));
    assert!(fault(Config::new().lookup_limit(0)).starts_with("lookup_limit: 0 is out of range"));
    assert!(fault(Config::new().lookup_timeout(Duration::ZERO)).starts_with("lookup_timeout: 0 is out of range"));
    let threaded = Config::new().backend(BackendChoice::Threaded);
    assert!(fault(threaded.offload_limit(1)).starts_with("offload_limit: only"));
}

#[test]
fn the_overriding_configuration_wins_where_it_says_something() {
    let config = Config::new().backend(BackendChoice::Evented).async_limit(1).stack_size(1 << 16);
    let config = config.overridden_by(Config::new().backend(BackendChoice::Auto).concurrent_limit(3));
    assert_eq!(config.backend, Some(BackendChoice::Auto));
    assert_eq!((config.async_limit, config.concurrent_limit), (Some(1), Some(3)));
    assert_eq!(config.stack_size, Some(1 << 16));
}

#[test]
fn a_backend_prints_as_it_is_written() {
    for choice in [BackendChoice::Auto, BackendChoice::Threaded, BackendChoice::Evented] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
}

#[cfg(feature = "config")]
mod toml {
    use super::*;

    fn error(text: &str) -> String {
        Config::from_toml(text).expect_err("has to be refused").to_string()
    }

    #[test]
    fn each_key_is_read() {
        let config = Config::from_toml(
            "backend = 'auto'\nasync_limit = 3\nconcurrent_limit = 0\nstack_size = 65536\nexecutors = '2'\n\
             main_stack_size = '1MiB'\nidle_timeout = '1s'\nshutdown_grace = '1min'\n",
        )
        .unwrap();
        assert_eq!(config.backend, Some(BackendChoice::Auto));
        assert_eq!((config.async_limit, config.concurrent_limit), (Some(3), Some(0)));
        assert_eq!((config.stack_size, config.executors), (Some(1 << 16), Some(2)));
        assert_eq!(config.main_stack_size, Some(1 << 20));
        assert_eq!(config.idle_timeout, Some(Duration::from_secs(1)));
        assert_eq!(config.shutdown_grace, Some(Duration::from_secs(60)));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        assert_eq!(
            error("async_limit = 1\n\n  executers = 2\n"),
            "3:3: executers: unknown key; the nearest known one is executors"
        );
        assert!(error("[iolite]\n").starts_with("1:2: iolite: unknown key; "));
    }

    #[test]
    fn a_bad_value_is_named_with_its_place() {
        assert_eq!(
            error("backend = 'evnted'"),
            "1:11: backend: unknown backend \"evnted\"; expected threaded, evented or auto (did you mean evented?)"
        );
        assert_eq!(
            error("# \u{e4}\nexecutors = 0"),
            "2:13: executors: 0 is out of range: expected 1 to 1024 executors"
        );
        assert!(error("async_limit = -1").starts_with("1:15: async_limit: \"-1\" is not a valid count"));
        assert!(error("async_limit = true").contains("a string or a whole number for async_limit"));
        assert!(error("shutdown_grace = 10").starts_with("1:18: shutdown_grace: \"10\" is not a valid duration"));
    }

    #[test]
    fn a_combination_that_cannot_be_is_named() {
        assert!(error("backend = 'threaded'\nexecutors = 2").contains("executors: only the evented backend has it"));
    }

    #[test]
    fn what_is_no_toml_is_one_line_with_its_place() {
        let error = error("backend = \nexecutors = 1");
        assert!(error.starts_with("1:"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        assert!(error("executors = 1\nexecutors = 2").starts_with("2:1: "));
    }

    #[test]
    fn the_environment_names_a_file_and_overrides_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iolite.toml");
        std::fs::write(&path, "backend = 'evented'\nexecutors = 2\n").unwrap();
        let path = path.to_str().unwrap();
        let config = env(&[("IOLITE_CONFIG", path), ("IOLITE_EXECUTORS", "1")]);
        assert_eq!((config.backend, config.executors), (Some(BackendChoice::Evented), Some(1)));
        // Neither source is wrong by itself.
        let error = env_error(&[("IOLITE_CONFIG", path), ("IOLITE_BACKEND", "threaded")]);
        assert!(error.starts_with("executors: only the evented backend has it"), "{error}");
    }

    #[test]
    fn a_fault_in_the_file_is_named_with_file_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iolite.toml");
        std::fs::write(&path, "\nbackends = 'evented'\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(
            env_error(&[("IOLITE_CONFIG", path)]),
            format!("IOLITE_CONFIG: {path}:2:1: backends: unknown key; the nearest known one is backend")
        );
        let error = env_error(&[("IOLITE_CONFIG", "/nowhere/iolite.toml")]);
        assert!(error.starts_with("IOLITE_CONFIG: /nowhere/iolite.toml: No such file"), "{error}");
    }
}
