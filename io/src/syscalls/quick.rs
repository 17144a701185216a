//! The operations that never block, and other calls that every backend on an operating system makes.
//!
//! They do not check for cancellation: a backend passes its cancellation point first.
#![allow(unsafe_code)]

use std::io;
use std::net::Shutdown;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, Protocol, SocketFlags, sockopt};

use crate::descriptor::Descriptor;
use crate::operation::address::{address_from_kernel, kernel_address};
use crate::operation::{Address, Domain, OpenOptions, Operation, OptionName, OptionValue, Output, SocketType};

/// Performs an operation that never blocks. Returns every other operation unchanged.
///
/// The operations that never block are `Nop`, `Socket`, `SocketPair`, `Bind`, `Listen`, `Shutdown`, `SetOption`,
/// `GetOption`, `LocalAddress`, `PeerAddress` and `Seek`.
///
/// # Cancellation
///
/// Not a cancellation point: the backend checks first.
///
/// # Errors
///
/// Returns the operation if it may block.
pub fn perform_nonblocking(operation: Operation<'_>) -> Result<io::Result<Output>, Operation<'_>> {
    Ok(match operation {
        Operation::Nop => Ok(Output::Done),
        Operation::Socket { domain, kind, protocol } => socket(domain, kind, protocol),
        Operation::SocketPair { domain, kind, protocol } => socket_pair(domain, kind, protocol),
        Operation::Bind { socket, address } => done(net::bind(socket, &kernel_address(address))),
        Operation::Listen { socket, backlog } => listen(socket, backlog),
        Operation::Shutdown { socket, how } => done(net::shutdown(socket, rustix_shutdown(how))),
        Operation::SetOption { socket, name, value } => set_option(socket.as_fd(), name, &value).map(|()| Output::Done),
        Operation::GetOption { socket, name } => option_of(socket.as_fd(), name).map(Output::Option),
        Operation::LocalAddress { socket } => {
            let address = net::getsockname(socket).map_err(io::Error::from);
            address.and_then(address_from_kernel).map(Output::Address)
        }
        Operation::PeerAddress { socket } => {
            let peer = net::getpeername(socket).and_then(|address| address.ok_or(Errno::NOTCONN));
            peer.map_err(io::Error::from).and_then(address_from_kernel).map(Output::Address)
        }
        Operation::Seek { file, position } => {
            rustix::fs::seek(file, rustix_seek(position)).map(Output::Position).map_err(io::Error::from)
        }
        Operation::Accept { .. }
        | Operation::Connect { .. }
        | Operation::Ready { .. }
        | Operation::Receive { .. }
        | Operation::ReceiveMessage { .. }
        | Operation::ReceiveMany { .. }
        | Operation::Send { .. }
        | Operation::SendMessage { .. }
        | Operation::SendMany { .. }
        | Operation::SendZeroCopy { .. }
        | Operation::Attempt(_)
        | Operation::Resolve { .. }
        | Operation::Open { .. }
        | Operation::Read { .. }
        | Operation::Write { .. }
        | Operation::ReadVectored { .. }
        | Operation::WriteVectored { .. }
        | Operation::Splice { .. }
        | Operation::Sync { .. }
        | Operation::File(_)
        | Operation::Offload { .. }
        | Operation::Spawn { .. }
        | Operation::Native { .. }
        | Operation::Close { .. } => return Err(operation),
    })
}

/// Begins to connect without waiting.
///
/// After `EINPROGRESS`, the socket becomes writable when the connect has ended, and [`take_socket_error`] returns its
/// result. `EAGAIN` says that the queue of a Unix listener is full, for which there is no way to wait.
///
/// # Errors
///
/// The errors of `connect`.
pub fn begin_connect(socket: &Descriptor, address: &Address) -> rustix::io::Result<()> {
    let _nonblocking = socket.nonblocking()?;
    connect(socket, address)
}

/// Connects. The call waits in the kernel unless the socket is non-blocking. If it is interrupted, the connect goes on
/// in the kernel, and a second call waits again.
///
/// # Errors
///
/// The errors of `connect`.
pub fn connect(socket: &Descriptor, address: &Address) -> rustix::io::Result<()> {
    net::connect(socket, &kernel_address(address))
}

/// Reads and clears `SO_ERROR`, which is the result of a non-blocking `connect`.
///
/// # Errors
///
/// Returns the error that was pending, with its errno, or that of `getsockopt`.
pub fn take_socket_error(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::socket_error(socket)??)
}

/// Returns the flags and the mode for `open`, as std chooses them; always closed on exec.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for invalid combinations of options.
pub fn open_flags(options: &OpenOptions) -> io::Result<(OFlags, Mode)> {
    let &OpenOptions { read, write, append, truncate, create, create_new, mode, custom_flags } = options;
    if !write && !append && (truncate || create || create_new) {
        return Err(invalid("creating or truncating a file needs write or append access"));
    }
    if append && truncate && !create_new {
        return Err(invalid("a file cannot be opened both for truncating and for appending"));
    }
    let access = match (read, write, append) {
        (true, false, false) => OFlags::RDONLY,
        (false, true, false) => OFlags::WRONLY,
        (true, true, false) => OFlags::RDWR,
        (false, _, true) => OFlags::WRONLY | OFlags::APPEND,
        (true, _, true) => OFlags::RDWR | OFlags::APPEND,
        (false, false, false) => return Err(invalid("a file has to be opened for reading, writing or appending")),
    };
    let creation = match (create, truncate, create_new) {
        (_, _, true) => OFlags::CREATE | OFlags::EXCL,
        (true, true, false) => OFlags::CREATE | OFlags::TRUNC,
        (true, false, false) => OFlags::CREATE,
        (false, true, false) => OFlags::TRUNC,
        (false, false, false) => OFlags::empty(),
    };
    let custom = OFlags::from_bits_retain(custom_flags as u32) - OFlags::ACCMODE;
    let flags = access | creation | custom | OFlags::CLOEXEC;
    // A call that creates no file must pass no mode, because `openat2` checks that.
    let makes = flags.contains(OFlags::CREATE) || flags.contains(OFlags::TMPFILE);
    Ok((flags, if makes { Mode::from_raw_mode(mode.unwrap_or(0o666)) } else { Mode::empty() }))
}

/// Returns the number of pages of a part of a file that are in the page cache, including those that are being read from
/// the disk.
///
/// # Errors
///
/// The errors of `cachestat`: `ENOSYS` before Linux 6.5; `EPERM` for files that the process may not write to.
pub(super) fn cached_pages(file: &Descriptor, part: Range<u64>) -> rustix::io::Result<u64> {
    // libc lacks it. System calls since Linux 5.1 have the same order of numbers on every architecture.
    const CACHESTAT: libc::c_long = libc::SYS_pidfd_open + 17;
    let range = [part.start, part.end - part.start];
    // The first number is the count.
    let mut counts = [0_u64; 5];
    // SAFETY: the kernel reads the two numbers of `struct cachestat_range` and writes the five of `struct cachestat`,
    // each of 64 bits, in arrays of that many, which are there until it returns. The flags have to be 0.
    let result = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), counts.as_mut_ptr(), 0) };
    if result == 0 {
        return Ok(counts[0]);
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::NOSYS))
}

/// Closes a descriptor and reports errors. The descriptor is closed in any case.
///
/// # Errors
///
/// The errors of `close`, except `EINTR`, after which Linux has closed the descriptor.
pub fn close(descriptor: Descriptor) -> io::Result<()> {
    let raw = OwnedFd::from(descriptor).into_raw_fd();
    // SAFETY: `raw` was owned by the descriptor that the caller gave up, and `into_raw_fd` made it ours without closing
    // it. Nobody has borrowed it any longer, since it was moved here, and it is not used after this.
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

fn socket(domain: Domain, kind: SocketType, protocol: i32) -> io::Result<Output> {
    let (domain, kind, protocol) = rustix_socket(domain, kind, protocol)?;
    Ok(Output::Opened(net::socket_with(domain, kind, SocketFlags::CLOEXEC, protocol)?.into()))
}

fn socket_pair(domain: Domain, kind: SocketType, protocol: i32) -> io::Result<Output> {
    let (domain, kind, protocol) = rustix_socket(domain, kind, protocol)?;
    let (one, other) = net::socketpair(domain, kind, SocketFlags::CLOEXEC, protocol)?;
    Ok(Output::OpenedPair(one.into(), other.into()))
}

type RustixSocket = (AddressFamily, net::SocketType, Option<Protocol>);

fn rustix_socket(domain: Domain, kind: SocketType, protocol: i32) -> io::Result<RustixSocket> {
    let number =
        |number: i32| u32::try_from(number).map_err(|_| invalid("the number of a socket type or protocol is negative"));
    let family = u16::try_from(i32::from(domain)).map_err(|_| io::Error::from(Errno::AFNOSUPPORT))?;
    let protocol = std::num::NonZero::new(number(protocol)?).map(Protocol::from_raw);
    Ok((AddressFamily::from_raw(family), net::SocketType::from_raw(number(kind.into())?), protocol))
}

fn listen(socket: &Descriptor, backlog: u32) -> io::Result<Output> {
    net::listen(socket, backlog.try_into().unwrap_or(i32::MAX))?;
    done(rustix::io::ioctl_fionbio(socket, true))
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

fn set_option(socket: BorrowedFd<'_>, name: OptionName, value: &OptionValue) -> io::Result<()> {
    let bytes = value.as_bytes();
    // SAFETY: the kernel reads no more than `bytes.len()` bytes, which are borrowed until it returns. Some options have
    // addresses in their values; `name` is none of them, for only the table in `net/option.rs` makes names, of options that
    // are numbers, structures of numbers, and text.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            name.level(),
            name.name(),
            bytes.as_ptr().cast(),
            bytes.len() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn option_of(socket: BorrowedFd<'_>, name: OptionName) -> io::Result<OptionValue> {
    let mut bytes = [0; OptionValue::BYTES_MAX];
    let mut length = bytes.len() as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes, which is how many `bytes` has, and then how many it wrote to
    // `length`; both are locals that live until it returns. No option of the table, where alone `name` can come from, makes
    // it write elsewhere: none has an address in its value.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), name.level(), name.name(), bytes.as_mut_ptr().cast(), &mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(OptionValue::new(&bytes[..bytes.len().min(length as usize)]))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn perform(operation: Operation<'_>) -> io::Result<Output> {
        perform_nonblocking(operation).expect("a quick operation")
    }

    fn socket(domain: Domain) -> Descriptor {
        perform(Operation::Socket { domain, kind: SocketType::STREAM, protocol: 0 }).unwrap().opened().unwrap()
    }

    fn listen_on(address: SocketAddr) -> io::Result<Descriptor> {
        let address = &Address::from(address);
        let socket = socket(Domain::of(address));
        perform(Operation::Bind { socket: &socket, address })?.done()?;
        perform(Operation::Listen { socket: &socket, backlog: 8 })?.done()?;
        Ok(socket)
    }

    fn listener(address: &str) -> Descriptor {
        listen_on(address.parse().unwrap()).unwrap()
    }

    fn internet(address: Output) -> SocketAddr {
        match address.address().unwrap() {
            Address::Internet(address) => address,
            other => panic!("{other} is no IP address"),
        }
    }

    fn address_of(socket: &Descriptor) -> SocketAddr {
        internet(perform(Operation::LocalAddress { socket }).unwrap())
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
        let error = listen_on(address_of(&first)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }

    #[test]
    fn addresses_are_told_and_no_peer_is_an_error() {
        let listener = listener("127.0.0.1:0");
        let client = std::net::TcpStream::connect(address_of(&listener)).unwrap();
        let local = client.local_addr().unwrap();
        let client = Descriptor::from(OwnedFd::from(client));
        assert_eq!(address_of(&client), local);
        let peer = perform(Operation::PeerAddress { socket: &client }).unwrap();
        assert_eq!(internet(peer), address_of(&listener));
        let error = perform(Operation::PeerAddress { socket: &listener }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }

    #[test]
    fn sockets_are_closed_on_exec() {
        let (domain, kind) = (Domain::UNIX, SocketType::SEQUENCED_PACKETS);
        let (one, other) = perform(Operation::SocketPair { domain, kind, protocol: 0 }).unwrap().opened_pair().unwrap();
        for socket in [one, other, socket(Domain::IPV4)] {
            assert!(rustix::io::fcntl_getfd(&socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let of = |domain: i32, kind: i32, protocol| {
            perform(Operation::Socket { domain: domain.into(), kind: kind.into(), protocol }).unwrap_err()
        };
        assert_eq!(of(-1, 1, 0).raw_os_error(), Some(libc::EAFNOSUPPORT));
        assert_eq!(of(libc::AF_INET, -1, 0).kind(), io::ErrorKind::InvalidInput);
        assert_eq!(of(libc::AF_INET, 1, -1).kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn operations_that_may_block_come_back() {
        let listener = listener("127.0.0.1:0");
        let back = perform_nonblocking(Operation::Accept { listener: &listener });
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
