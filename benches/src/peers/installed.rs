//! Servers that are installed on the system: nginx and haproxy, each in one process with one thread.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::peer::Peer;

/// The time in which a server has to begin to listen.
const START: Duration = Duration::from_secs(10);

/// A server of the system.
#[derive(Debug)]
pub(crate) struct Installed {
    name: &'static str,
    /// The argument that prints the version.
    version: &'static str,
}

const NGINX: Installed = Installed { name: "nginx", version: "-v" };
const HAPROXY: Installed = Installed { name: "haproxy", version: "-v" };

/// Returns the server of a peer, if it has one.
pub(crate) fn installed(peer: Peer) -> Option<&'static Installed> {
    match peer {
        Peer::Nginx => Some(&NGINX),
        Peer::Haproxy => Some(&HAPROXY),
        _ => None,
    }
}

impl Installed {
    /// Checks that the server is installed.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not run.
    pub(crate) fn find(&self) -> io::Result<()> {
        let output = Command::new(self.name).arg(self.version).output();
        let output = output.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.name)))?;
        if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("{} does not run", self.name))) }
    }
}

/// A server that runs until the process ends.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Running {
    /// Returns the id of the server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn start(
        name: &str,
        arguments: impl FnOnce(&Path) -> Vec<String>,
        config: impl FnOnce(&Path, SocketAddr) -> String,
    ) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        // The port was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        fs::write(folder.path().join("config"), config(folder.path(), address))?;
        // It ends with the thread that starts it, and that thread ends with its parent.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", name]).args(arguments(folder.path()));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("{name} ended with {status}")));
            }
            if begun.elapsed() > START {
                let _ = child.kill();
                return Err(io::Error::other(format!("{name} does not listen")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { child, address, _folder: folder })
    }
}

/// Starts nginx, which serves the files of a folder.
pub(crate) fn serve_files(root: &Path) -> io::Result<Running> {
    let arguments = |folder: &Path| {
        let [config, prefix] = [folder.join("config"), folder.to_owned()].map(|path| path.display().to_string());
        ["-c", &config, "-p", &prefix, "-e", "stderr"].map(String::from).to_vec()
    };
    Running::start("nginx", arguments, |folder, address| {
        let (folder, root) = (folder.display(), root.display());
        format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
                client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
                uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
                server {{ listen {address}; root {root}; }}
            }}"
        )
    })
}

/// Starts haproxy, which passes connections on to `origin`.
pub(crate) fn proxy(origin: SocketAddr) -> io::Result<Running> {
    let arguments =
        |folder: &Path| vec!["-q".into(), "-db".into(), "-f".into(), folder.join("config").display().to_string()];
    Running::start("haproxy", arguments, |_, address| {
        format!(
            "global\n nbthread 1\n maxconn 4000\n\
            defaults\n mode tcp\n timeout connect 10s\n timeout client 100s\n timeout server 100s\n\
            listen all\n bind {address}\n server origin {origin}\n"
        )
    })
}
