//! Peers in other languages. Their programs are contained in this one as text, are built at first use, and use the same
//! lines of JSON as [`crate::job`].

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program in another language.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// The name of the compiler and its arguments before the two paths, of the program and of the source.
    compiler: &'static [&'static str],
    file: &'static str,
    source: &'static str,
}

pub(super) const GO: Foreign =
    Foreign { compiler: &["go", "build", "-o"], file: "main.go", source: include_str!("../../foreign/main.go") };

pub(super) const ZIG: Foreign = Foreign {
    compiler: &["zig", "build-exe", "-OReleaseFast", "-femit-bin="],
    file: "main.zig",
    source: include_str!("../../foreign/main.zig"),
};

impl Foreign {
    /// Builds the program, unless that has been done.
    ///
    /// # Errors
    ///
    /// There is no such compiler, or it does not accept the program; the error has the compiler's output.
    pub(crate) fn build(&self) -> io::Result<()> {
        let folder = folder()?;
        let (source, program) = (folder.join(self.file), self.program()?);
        if program.exists() && fs::read_to_string(&source).is_ok_and(|built| built == self.source) {
            return Ok(());
        }
        fs::create_dir_all(&folder)?;
        // Another process may be building, too. So each builds in a folder of its own, and moves the complete program.
        let scratch = tempfile::tempdir_in(&folder)?;
        let (new_source, new_program) = (scratch.path().join(self.file), scratch.path().join("program"));
        fs::write(&new_source, self.source)?;
        self.compile(&new_source, &new_program)?;
        fs::rename(new_program, program)?;
        fs::rename(new_source, source)
    }

    /// Replaces this process with the program. Returns only if that fails.
    pub(crate) fn exec(&self, job: &str) -> io::Error {
        match self.program() {
            Ok(program) => Command::new(program).arg(job).exec(),
            Err(error) => error,
        }
    }

    fn compile(&self, source: &Path, program: &Path) -> io::Result<()> {
        let [name, arguments @ .., last] = self.compiler else { unreachable!("a name and an argument at least") };
        let mut command = Command::new(name);
        command.args(arguments);
        // An option that ends with = is one word together with its value.
        match last.ends_with('=') {
            true => command.arg(format!("{last}{}", program.display())),
            false => command.args([last.as_ref(), program.as_os_str()]),
        };
        let output = command.arg(source).output().map_err(|error| {
            let text = match error.kind() {
                io::ErrorKind::NotFound => format!("{name} was not found in PATH"),
                _ => format!("{name} cannot be started: {error}"),
            };
            io::Error::new(error.kind(), text)
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{name} does not take its program: {}", said.trim())))
    }

    fn program(&self) -> io::Result<PathBuf> {
        Ok(folder()?.join(format!("{}.program", self.file)))
    }
}

/// The folder is beside this program, where cargo keeps its output.
fn folder() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("iolite-bench-foreign"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn each_has_a_place_of_its_own() {
        assert_ne!(GO.program().unwrap(), ZIG.program().unwrap());
    }

    #[test]
    fn a_compiler_that_is_not_there_is_named() {
        let missing = Foreign { compiler: &["no-such-compiler", "-o"], file: "main.none", source: "" };
        let folder = tempfile::tempdir().unwrap();
        let error = missing.compile(&folder.path().join("main.none"), &folder.path().join("program")).unwrap_err();
        // If a folder of PATH may not be read, this is another kind of error, which also names the compiler.
        assert!(error.to_string().contains("no-such-compiler"), "{error}");
    }
}
