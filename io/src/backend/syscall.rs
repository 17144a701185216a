//! The operations that never block, and what else every backend on an operating system calls.
//!
//! They do not ask for cancellation: a backend passes its cancellation point first.
#![allow(unsafe_code)]

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::descriptor::Descriptor;
use crate::fs::OpenOptions;
use crate::net::ListenOptions;
use crate::operation::{Operation, Output, SocketOption};

/// Performs an operation that never blocks; hands every other one back.
///
/// Quick are `Nop`, `Listen`, `Shutdown`, `SetOption`, `GetOption`, `LocalAddress`, `PeerAddress`,
/// `Seek`, `SetLength` and `Length`.
///
/// # Cancellation
///
/// Not a cancellation point: the backend asks first.
///
/// # Errors
///
/// The operation, when it may block.
pub fn perform_quick(operation: Operation<'_>) -> Result<io::Result<Output>, Operation<'_>> {
    Ok(match operation {
        Operation::Nop => Ok(Output::Done),
        Operation::Listen { address, options } => listen(address, options).map(Output::Opened),
        Operation::Shutdown { socket, how } => done(net::shutdown(socket, rustix_shutdown(how))),
        Operation::SetOption { socket, option } => set_option(socket.as_fd(), option).map(|()| Output::Done),
        Operation::GetOption { socket, option } => option_of(socket.as_fd(), option).map(Output::Option),
        Operation::LocalAddress { socket } => {
            net::getsockname(socket).and_then(SocketAddr::try_from).map(Output::Address).map_err(io::Error::from)
        }
        Operation::PeerAddress { socket } => {
            let peer = net::getpeername(socket).and_then(|address| address.ok_or(Errno::NOTCONN));
            peer.and_then(SocketAddr::try_from).map(Output::Address).map_err(io::Error::from)
        }
        Operation::Seek { file, position } => {
            rustix::fs::seek(file, rustix_seek(position)).map(Output::Position).map_err(io::Error::from)
        }
        Operation::SetLength { file, length } => done(retry_on_intr(|| rustix::fs::ftruncate(file, length))),
        Operation::Length { file } => length(file.as_fd()).map(Output::Position),
        other => return Err(other),
    })
}

/// Makes a TCP socket for connecting to `address`: blocking, closed on exec.
///
/// # Errors
///
/// Those of `socket`.
pub fn new_stream_socket(address: &SocketAddr) -> io::Result<Descriptor> {
    stream_socket(address, SocketFlags::CLOEXEC)
}

/// Reads and clears `SO_ERROR`: how a non-blocking `connect` has ended.
///
/// # Errors
///
/// The error that was pending, with its errno; or that of `getsockopt`.
pub fn take_socket_error(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::socket_error(socket)??)
}

/// The flags and the mode for `open`, as std chooses them; always closed on exec.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for options that do not go together.
pub fn open_flags(options: &OpenOptions) -> io::Result<(OFlags, Mode)> {
    let &OpenOptions { read, write, append, truncate, create, create_new, mode, custom_flags } = options;
    if !write && !append && (truncate || create || create_new) {
        return Err(invalid("making or cutting a file needs write or append access"));
    }
    if append && truncate && !create_new {
        return Err(invalid("a file is not both cut and appended to"));
    }
    let access = match (read, write, append) {
        (true, false, false) => OFlags::RDONLY,
        (false, true, false) => OFlags::WRONLY,
        (true, true, false) => OFlags::RDWR,
        (false, _, true) => OFlags::WRONLY | OFlags::APPEND,
        (true, _, true) => OFlags::RDWR | OFlags::APPEND,
        (false, false, false) => return Err(invalid("a file is opened for reading, writing or appending")),
    };
    let creation = match (create, truncate, create_new) {
        (_, _, true) => OFlags::CREATE | OFlags::EXCL,
        (true, true, false) => OFlags::CREATE | OFlags::TRUNC,
        (true, false, false) => OFlags::CREATE,
        (false, true, false) => OFlags::TRUNC,
        (false, false, false) => OFlags::empty(),
    };
    let custom = OFlags::from_bits_retain(custom_flags as u32) - OFlags::ACCMODE;
    Ok((access | creation | custom | OFlags::CLOEXEC, Mode::from_raw_mode(mode.unwrap_or(0o666))))
}

/// Closes a descriptor and reports what went wrong. It is gone in any case.
///
/// # Errors
///
/// Those of `close`, `EINTR` excepted: Linux has closed the descriptor then.
pub fn close(descriptor: Descriptor) -> io::Result<()> {
    let raw = OwnedFd::from(descriptor).into_raw_fd();
    // SAFETY: `into_raw_fd` made this the only owner, and nobody uses the number afterwards.
    if unsafe { libc::close(raw) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        error => Err(error),
    }
}

fn done(result: rustix::io::Result<()>) -> io::Result<Output> {
    Ok(result.map(|()| Output::Done)?)
}

fn stream_socket(address: &SocketAddr, flags: SocketFlags) -> io::Result<Descriptor> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    Ok(net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?.into())
}

fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<Descriptor> {
    let socket = stream_socket(&address, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    if options.reuse_address {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if options.reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, options.backlog.try_into().unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn rustix_shutdown(how: Shutdown) -> net::Shutdown {
    match how {
        Shutdown::Read => net::Shutdown::Read,
        Shutdown::Write => net::Shutdown::Write,
        Shutdown::Both => net::Shutdown::Both,
    }
}

fn rustix_seek(position: io::SeekFrom) -> SeekFrom {
    match position {
        io::SeekFrom::Start(offset) => SeekFrom::Start(offset),
        io::SeekFrom::End(offset) => SeekFrom::End(offset),
        io::SeekFrom::Current(offset) => SeekFrom::Current(offset),
    }
}

fn length(file: BorrowedFd<'_>) -> io::Result<u64> {
    let length = rustix::fs::fstat(file)?.st_size;
    u64::try_from(length).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file has a negative length"))
}

fn set_option(socket: BorrowedFd<'_>, option: SocketOption) -> io::Result<()> {
    match option {
        SocketOption::NoDelay(on) => sockopt::set_tcp_nodelay(socket, on)?,
        SocketOption::KeepAlive(on) => sockopt::set_socket_keepalive(socket, on)?,
        SocketOption::Linger(time) => sockopt::set_socket_linger(socket, time)?,
        SocketOption::ReceiveBufferSize(bytes) => sockopt::set_socket_recv_buffer_size(socket, bytes)?,
        SocketOption::SendBufferSize(bytes) => sockopt::set_socket_send_buffer_size(socket, bytes)?,
        SocketOption::TimeToLive(hops) if is_ipv6(socket)? => {
            let hops = hops.try_into().map_err(|_| invalid("a hop limit is at most 255"))?;
            sockopt::set_ipv6_unicast_hops(socket, Some(hops))?;
        }
        SocketOption::TimeToLive(hops) => sockopt::set_ip_ttl(socket, hops)?,
        SocketOption::PendingError(_) => return Err(invalid("the pending error of a socket cannot be set")),
    }
    Ok(())
}

fn option_of(socket: BorrowedFd<'_>, option: SocketOption) -> io::Result<SocketOption> {
    Ok(match option {
        SocketOption::NoDelay(_) => SocketOption::NoDelay(sockopt::tcp_nodelay(socket)?),
        SocketOption::KeepAlive(_) => SocketOption::KeepAlive(sockopt::socket_keepalive(socket)?),
        SocketOption::Linger(_) => SocketOption::Linger(sockopt::socket_linger(socket)?),
        SocketOption::ReceiveBufferSize(_) => {
            SocketOption::ReceiveBufferSize(sockopt::socket_recv_buffer_size(socket)?)
        }
        SocketOption::SendBufferSize(_) => SocketOption::SendBufferSize(sockopt::socket_send_buffer_size(socket)?),
        SocketOption::TimeToLive(_) if is_ipv6(socket)? => {
            SocketOption::TimeToLive(sockopt::ipv6_unicast_hops(socket)?.into())
        }
        SocketOption::TimeToLive(_) => SocketOption::TimeToLive(sockopt::ip_ttl(socket)?),
        SocketOption::PendingError(_) => {
            SocketOption::PendingError(sockopt::socket_error(socket)?.err().map_or(0, Errno::raw_os_error))
        }
    })
}

fn is_ipv6(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(sockopt::socket_domain(socket)? == AddressFamily::INET6)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn perform(operation: Operation<'_>) -> io::Result<Output> {
        perform_quick(operation).expect("a quick operation")
    }

    fn listener(address: &str) -> Descriptor {
        let options = ListenOptions::default();
        let address = address.parse().unwrap();
        perform(Operation::Listen { address, options: &options }).unwrap().opened().unwrap()
    }

    fn address_of(socket: &Descriptor) -> SocketAddr {
        perform(Operation::LocalAddress { socket }).unwrap().address().unwrap()
    }

    #[test]
    fn a_listener_is_nonblocking_and_closed_on_exec() {
        let listener = listener("127.0.0.1:0");
        assert!(rustix::fs::fcntl_getfl(&listener).unwrap().contains(OFlags::NONBLOCK));
        assert!(rustix::io::fcntl_getfd(&listener).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert_ne!(address_of(&listener).port(), 0);
    }

    #[test]
    fn a_second_listener_on_the_same_address_is_refused_with_the_errno() {
        let first = listener("127.0.0.1:0");
        let options = ListenOptions::default();
        let error = perform(Operation::Listen { address: address_of(&first), options: &options }).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }

    #[test]
    fn addresses_are_told_and_no_peer_is_an_error() {
        let listener = listener("127.0.0.1:0");
        let client = std::net::TcpStream::connect(address_of(&listener)).unwrap();
        let local = client.local_addr().unwrap();
        let client = Descriptor::from(OwnedFd::from(client));
        assert_eq!(address_of(&client), local);
        let peer = perform(Operation::PeerAddress { socket: &client }).unwrap().address().unwrap();
        assert_eq!(peer, address_of(&listener));
        let error = perform(Operation::PeerAddress { socket: &listener }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }

    #[test]
    fn options_are_read_back_as_set() {
        for socket in [listener("127.0.0.1:0"), listener("[::1]:0")] {
            for option in [
                SocketOption::NoDelay(true),
                SocketOption::KeepAlive(true),
                SocketOption::Linger(Some(Duration::ZERO)),
                SocketOption::Linger(None),
                SocketOption::TimeToLive(17),
                SocketOption::PendingError(0),
            ] {
                if !matches!(option, SocketOption::PendingError(_)) {
                    perform(Operation::SetOption { socket: &socket, option }).unwrap();
                }
                let read = perform(Operation::GetOption { socket: &socket, option }).unwrap();
                assert_eq!(read.option().unwrap(), option);
            }
            let option = SocketOption::PendingError(1);
            let error = perform(Operation::SetOption { socket: &socket, option }).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn operations_that_may_block_come_back() {
        let listener = listener("127.0.0.1:0");
        let back = perform_quick(Operation::Accept { listener: &listener });
        assert!(matches!(back, Err(Operation::Accept { .. })));
    }

    #[test]
    fn open_flags_follow_std() {
        let of = |build: &dyn Fn(&mut OpenOptions)| {
            let mut options = OpenOptions::new();
            build(&mut options);
            open_flags(&options).map(|(flags, _)| flags - OFlags::CLOEXEC)
        };
        assert_eq!(of(&|o| _ = o.read(true)).unwrap(), OFlags::RDONLY);
        assert_eq!(of(&|o| _ = o.write(true).create(true)).unwrap(), OFlags::WRONLY | OFlags::CREATE);
        assert_eq!(of(&|o| _ = o.read(true).append(true)).unwrap(), OFlags::RDWR | OFlags::APPEND);
        let exclusive = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        assert_eq!(of(&|o| _ = o.write(true).truncate(true).create_new(true)).unwrap(), exclusive);
        let custom = (OFlags::DIRECT | OFlags::WRONLY).bits() as i32;
        assert_eq!(of(&|o| _ = o.read(true).custom_flags(custom)).unwrap(), OFlags::RDONLY | OFlags::DIRECT);
        let impossible: [&dyn Fn(&mut OpenOptions); 5] = [
            &|_| {},
            &|o| _ = o.create(true),
            &|o| _ = o.read(true).create(true),
            &|o| _ = o.read(true).truncate(true),
            &|o| _ = o.append(true).truncate(true),
        ];
        for build in impossible {
            assert_eq!(of(build).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn close_closes_and_reports_nothing_when_all_is_well() {
        let (reader, writer) = io::pipe().unwrap();
        close(Descriptor::from(OwnedFd::from(writer))).unwrap();
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0);
    }
}
