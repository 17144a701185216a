//! Socket options: one table, in which each entry has the option's name and the type of its value.
//!
//! ```
//! use iolite_io::net::{TcpStream, option};
//! # use iolite_io::Io;
//! # use std::time::Duration;
//! # fn example(io: &dyn Io, stream: &TcpStream) -> std::io::Result<()> {
//! stream.set_option(io, option::NO_DELAY, true)?;
//! stream.set_option(io, option::KEEP_ALIVE_TIME, Duration::from_secs(60))?;
//! let hops: u32 = stream.option(io, option::TIME_TO_LIVE)?;
//! # Ok(()) }
//! ```
//!
//! If the socket has no such option, the call fails with the system's errno.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::socket::{Domain, SocketType};
use crate::sys::sockets::{self, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET, SOL_UDP, c_int};

/// An option of a socket, whose value is a `T`.
pub struct SocketOption<T> {
    name: OptionName,
    encode: fn(T) -> io::Result<OptionValue>,
    decode: fn(&[u8]) -> io::Result<T>,
    value: PhantomData<fn(T) -> T>,
}

/// The name of an option in the table. Other names cannot be made, since the kernel would find pointers in the values of some
/// options.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OptionName {
    level: c_int,
    name: c_int,
}

/// The value of an option, as the kernel has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OptionValue {
    bytes: [u8; OptionValue::BYTES_MAX],
    length: u8,
}

impl OptionName {
    /// Returns the level: `SOL_SOCKET` or a protocol.
    pub fn level(self) -> i32 {
        self.level
    }

    /// Returns the number of the option on its level.
    pub fn name(self) -> i32 {
        self.name
    }
}

impl OptionValue {
    /// The largest length of a value.
    pub const BYTES_MAX: usize = 32;

    /// Makes a value of the first bytes, as many as there is room for.
    pub fn new(bytes: &[u8]) -> Self {
        let length = bytes.len().min(Self::BYTES_MAX);
        let mut value = Self { bytes: [0; Self::BYTES_MAX], length: length as u8 };
        value.bytes[..length].copy_from_slice(&bytes[..length]);
        value
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OptionName({}, {})", self.level, self.name)
    }
}

impl fmt::Debug for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OptionValue").field(&self.as_bytes()).finish()
    }
}

impl<T> SocketOption<T> {
    /// Returns the name of the option.
    pub const fn name(&self) -> OptionName {
        self.name
    }

    pub(crate) fn encode(&self, value: T) -> io::Result<OptionValue> {
        (self.encode)(value)
    }

    pub(crate) fn decode(&self, value: &OptionValue) -> io::Result<T> {
        (self.decode)(value.as_bytes())
    }

    const fn new(
        level: c_int,
        name: c_int,
        encode: fn(T) -> io::Result<OptionValue>,
        decode: fn(&[u8]) -> io::Result<T>,
    ) -> Self {
        Self { name: OptionName { level, name }, encode, decode, value: PhantomData }
    }
}

impl<T> Clone for SocketOption<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SocketOption<T> {}

impl<T> fmt::Debug for SocketOption<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// The peer of a Unix socket, as it was when the two were connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The process; 0 if this process cannot see it.
    pub process: u32,
    /// The effective user.
    pub user: u32,
    /// The effective group.
    pub group: u32,
}

/// The table: documentation, name, type of the value, encoding, level and number.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $value:ty = $encoding:ident($level:expr, $number:expr);)*) => {$(
        $(#[$doc])*
        pub const $name: SocketOption<$value> = $encoding($level, $number);
    )*};
}

options! {
    /// `SO_ERROR`: the error since the option was last read; reading clears it. It cannot be set.
    PENDING_ERROR: Option<io::Error> = error(SOL_SOCKET, sockets::SO_ERROR);
    /// `SO_DOMAIN`. It cannot be set.
    DOMAIN: Domain = domain(SOL_SOCKET, sockets::SO_DOMAIN);
    /// `SO_TYPE`. It cannot be set.
    TYPE: SocketType = socket_type(SOL_SOCKET, sockets::SO_TYPE);
    /// `SO_PROTOCOL`: the protocol's number. It cannot be set.
    PROTOCOL: i32 = signed(SOL_SOCKET, sockets::SO_PROTOCOL);
    /// `SO_ACCEPTCONN`: true if the socket listens. It cannot be set.
    LISTENING: bool = flag(SOL_SOCKET, sockets::SO_ACCEPTCONN);
    /// `SO_COOKIE`: a number that no other socket of this boot has. It cannot be set.
    COOKIE: u64 = long(SOL_SOCKET, sockets::SO_COOKIE);

    /// `SO_REUSEADDR`: bind although connections of an earlier socket linger.
    REUSE_ADDRESS: bool = flag(SOL_SOCKET, sockets::SO_REUSEADDR);
    /// `SO_REUSEPORT`: let several sockets share an address; the system spreads connections and messages among them.
    REUSE_PORT: bool = flag(SOL_SOCKET, sockets::SO_REUSEPORT);
    /// `SO_KEEPALIVE`: ask a silent peer now and then whether it is still alive.
    KEEP_ALIVE: bool = flag(SOL_SOCKET, sockets::SO_KEEPALIVE);
    /// `SO_BROADCAST`: let datagrams go to broadcast addresses.
    BROADCAST: bool = flag(SOL_SOCKET, sockets::SO_BROADCAST);
    /// `SO_DONTROUTE`: send to neighbours only.
    DONT_ROUTE: bool = flag(SOL_SOCKET, sockets::SO_DONTROUTE);
    /// `SO_OOBINLINE`: receive urgent bytes among the others.
    OUT_OF_BAND_INLINE: bool = flag(SOL_SOCKET, sockets::SO_OOBINLINE);
    /// `SO_LINGER`: how long to keep sending unsent bytes when the socket is closed; `Some(ZERO)` resets the connection. Whole
    /// seconds, rounded up.
    LINGER: Option<Duration> = linger(SOL_SOCKET, sockets::SO_LINGER);
    /// `SO_RCVBUF`, in bytes; the kernel doubles what is set.
    RECEIVE_BUFFER_SIZE: usize = size(SOL_SOCKET, sockets::SO_RCVBUF);
    /// `SO_SNDBUF`, in bytes; the kernel doubles what is set.
    SEND_BUFFER_SIZE: usize = size(SOL_SOCKET, sockets::SO_SNDBUF);
    /// `SO_RCVLOWAT`: the number of bytes that make a stream readable.
    RECEIVE_LOW_WATER: usize = size(SOL_SOCKET, sockets::SO_RCVLOWAT);
    /// `SO_PRIORITY` of the packets that are sent.
    PRIORITY: u32 = number(SOL_SOCKET, sockets::SO_PRIORITY);
    /// `SO_MARK` of the packets that are sent, for routing and filters; needs `CAP_NET_ADMIN`.
    MARK: u32 = number(SOL_SOCKET, sockets::SO_MARK);
    /// `SO_BUSY_POLL`: the time to look for packets before waiting. Whole microseconds, rounded up.
    BUSY_POLL: Duration = microseconds(SOL_SOCKET, sockets::SO_BUSY_POLL);
    /// `SO_INCOMING_CPU`: the CPU that packets of this socket arrive on.
    INCOMING_CPU: u32 = number(SOL_SOCKET, sockets::SO_INCOMING_CPU);
    /// `SO_TIMESTAMPING`: the packets that get times, and what takes the times (`SOF_TIMESTAMPING_TX_SOFTWARE` and others).
    /// The times of sent packets come through the queue of errors.
    TIMESTAMPS: u32 = number(SOL_SOCKET, sockets::SO_TIMESTAMPING);
    /// `SO_BINDTODEVICE`: use one network interface only, by name; empty for any.
    DEVICE: String = text(SOL_SOCKET, sockets::SO_BINDTODEVICE);
    /// `SO_PEERCRED`: the peer of a Unix socket. It cannot be set.
    PEER_CREDENTIALS: Credentials = credentials(SOL_SOCKET, sockets::SO_PEERCRED);

    /// `TCP_NODELAY`: send small packets at once.
    NO_DELAY: bool = flag(IPPROTO_TCP, sockets::TCP_NODELAY);
    /// `TCP_CORK`: send full packets only.
    CORK: bool = flag(IPPROTO_TCP, sockets::TCP_CORK);
    /// `TCP_QUICKACK`: acknowledge at once, until the kernel thinks otherwise.
    QUICK_ACK: bool = flag(IPPROTO_TCP, sockets::TCP_QUICKACK);
    /// `TCP_MAXSEG`, in bytes.
    MAX_SEGMENT_SIZE: u32 = number(IPPROTO_TCP, sockets::TCP_MAXSEG);
    /// `TCP_KEEPIDLE`: the silence after which to ask for the first time. Whole seconds, rounded up.
    KEEP_ALIVE_TIME: Duration = seconds(IPPROTO_TCP, sockets::TCP_KEEPIDLE);
    /// `TCP_KEEPINTVL`: the time to wait for an answer before asking again. Whole seconds, rounded up.
    KEEP_ALIVE_INTERVAL: Duration = seconds(IPPROTO_TCP, sockets::TCP_KEEPINTVL);
    /// `TCP_KEEPCNT`: the number of times to ask before giving up.
    KEEP_ALIVE_RETRIES: u32 = number(IPPROTO_TCP, sockets::TCP_KEEPCNT);
    /// `TCP_USER_TIMEOUT`: the time that sent bytes may stay unacknowledged; zero for the system's
    /// default. Whole milliseconds, rounded up.
    USER_TIMEOUT: Duration = milliseconds(IPPROTO_TCP, sockets::TCP_USER_TIMEOUT);
    /// `TCP_SYNCNT`: the number of attempts to connect.
    CONNECT_RETRIES: u32 = number(IPPROTO_TCP, sockets::TCP_SYNCNT);
    /// `TCP_DEFER_ACCEPT`: let a connection be accepted once its first bytes have arrived. Whole seconds,
    /// rounded up.
    DEFER_ACCEPT: Duration = seconds(IPPROTO_TCP, sockets::TCP_DEFER_ACCEPT);
    /// `TCP_FASTOPEN`, of a listener: the number of connections that may come with bytes in their first packet.
    FAST_OPEN: u32 = number(IPPROTO_TCP, sockets::TCP_FASTOPEN);
    /// `TCP_NOTSENT_LOWAT`: the number of unsent bytes that the kernel takes.
    NOT_SENT_LOW_WATER: u32 = number(IPPROTO_TCP, sockets::TCP_NOTSENT_LOWAT);
    /// `TCP_CONGESTION`: the name of the algorithm.
    CONGESTION: String = text(IPPROTO_TCP, sockets::TCP_CONGESTION);

    /// `IP_TTL`: the number of routers that packets of IPv4 may pass.
    TIME_TO_LIVE: u32 = number(IPPROTO_IP, sockets::IP_TTL);
    /// `IP_TOS`: the type of service.
    TYPE_OF_SERVICE: u32 = number(IPPROTO_IP, sockets::IP_TOS);
    /// `IP_FREEBIND`: bind to an address that this machine does not have (yet).
    FREE_BIND: bool = flag(IPPROTO_IP, sockets::IP_FREEBIND);
    /// `IP_BIND_ADDRESS_NO_PORT`, of IPv6, too: a `bind` to port 0 leaves the port open until the socket is connected, so
    /// that connections to different peers may share one.
    BIND_ADDRESS_NO_PORT: bool = flag(IPPROTO_IP, sockets::IP_BIND_ADDRESS_NO_PORT);
    /// `IP_TRANSPARENT`: talk in the name of others; needs `CAP_NET_ADMIN`.
    TRANSPARENT: bool = flag(IPPROTO_IP, sockets::IP_TRANSPARENT);
    /// `IP_RECVERR`: keep what routers and peers report, in a queue of errors that `MSG_ERRQUEUE` reads.
    ERROR_QUEUE: bool = flag(IPPROTO_IP, sockets::IP_RECVERR);
    /// `IP_HDRINCL`, of raw sockets: packets are sent with the header that the program gives them.
    HEADER_INCLUDED: bool = flag(IPPROTO_IP, sockets::IP_HDRINCL);
    /// `IP_MULTICAST_TTL`: the number of routers that multicast packets may pass.
    MULTICAST_TIME_TO_LIVE: u32 = number(IPPROTO_IP, sockets::IP_MULTICAST_TTL);
    /// `IP_MULTICAST_LOOP`: true if this machine receives its own multicast packets.
    MULTICAST_LOOP: bool = flag(IPPROTO_IP, sockets::IP_MULTICAST_LOOP);
    /// `IP_MULTICAST_IF`: the interface that multicast packets are sent from, by its address.
    MULTICAST_INTERFACE: Ipv4Addr = address_v4(IPPROTO_IP, sockets::IP_MULTICAST_IF);
    /// `IP_ADD_MEMBERSHIP`: join a group, on the interface that has an address (unspecified: any). It can
    /// only be set.
    JOIN_MULTICAST: (Ipv4Addr, Ipv4Addr) = membership_v4(IPPROTO_IP, sockets::IP_ADD_MEMBERSHIP);
    /// `IP_DROP_MEMBERSHIP`: leave a group. It can only be set.
    LEAVE_MULTICAST: (Ipv4Addr, Ipv4Addr) = membership_v4(IPPROTO_IP, sockets::IP_DROP_MEMBERSHIP);

    /// `IPV6_V6ONLY`: leave IPv4 alone.
    ONLY_V6: bool = flag(IPPROTO_IPV6, sockets::IPV6_V6ONLY);
    /// `IPV6_UNICAST_HOPS`: the number of routers that packets of IPv6 may pass.
    HOP_LIMIT: u32 = number(IPPROTO_IPV6, sockets::IPV6_UNICAST_HOPS);
    /// `IPV6_RECVERR`: as [`ERROR_QUEUE`], of IPv6.
    ERROR_QUEUE_V6: bool = flag(IPPROTO_IPV6, sockets::IPV6_RECVERR);
    /// `IPV6_TCLASS`: the traffic class.
    TRAFFIC_CLASS: u32 = number(IPPROTO_IPV6, sockets::IPV6_TCLASS);
    /// `IPV6_MULTICAST_HOPS`: the number of routers that multicast packets may pass.
    MULTICAST_HOP_LIMIT: u32 = number(IPPROTO_IPV6, sockets::IPV6_MULTICAST_HOPS);
    /// `IPV6_MULTICAST_LOOP`: true if this machine receives its own multicast packets.
    MULTICAST_LOOP_V6: bool = flag(IPPROTO_IPV6, sockets::IPV6_MULTICAST_LOOP);
    /// `IPV6_MULTICAST_IF`: the interface that multicast packets are sent from, by its index.
    MULTICAST_INTERFACE_V6: u32 = number(IPPROTO_IPV6, sockets::IPV6_MULTICAST_IF);
    /// `IPV6_ADD_MEMBERSHIP`: join a group, on the interface with an index (0: any). It can only be set.
    JOIN_MULTICAST_V6: (Ipv6Addr, u32) = membership_v6(IPPROTO_IPV6, sockets::IPV6_ADD_MEMBERSHIP);
    /// `IPV6_DROP_MEMBERSHIP`: leave a group. It can only be set.
    LEAVE_MULTICAST_V6: (Ipv6Addr, u32) = membership_v6(IPPROTO_IPV6, sockets::IPV6_DROP_MEMBERSHIP);

    /// `UDP_SEGMENT`, in bytes: the bytes of one send go out as messages of that size, of which the last may be shorter;
    /// 0 for one message.
    SEGMENT_SIZE: u32 = number(SOL_UDP, sockets::UDP_SEGMENT);
    /// `UDP_GRO`: let several messages of one sender be received as one. The calls that receive do not report where one of
    /// them ends and the next begins: this is for protocols that know.
    COALESCE_RECEIVED: bool = flag(SOL_UDP, sockets::UDP_GRO);
}

const fn signed(level: c_int, name: c_int) -> SocketOption<i32> {
    SocketOption::new(level, name, |value| Ok(ints(&[value])), |bytes| int(bytes, 0))
}

const fn number(level: c_int, name: c_int) -> SocketOption<u32> {
    SocketOption::new(level, name, |value| Ok(ints(&[small(value)?])), |bytes| Ok(int(bytes, 0)? as u32))
}

const fn size(level: c_int, name: c_int) -> SocketOption<usize> {
    SocketOption::new(level, name, |value| Ok(ints(&[small(value)?])), |bytes| Ok(int(bytes, 0)? as usize))
}

const fn flag(level: c_int, name: c_int) -> SocketOption<bool> {
    SocketOption::new(level, name, |on| Ok(ints(&[on.into()])), |bytes| Ok(int(bytes, 0)? != 0))
}

const fn long(level: c_int, name: c_int) -> SocketOption<u64> {
    let decode = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).map_err(|_| malformed());
    SocketOption::new(level, name, |value| Ok(OptionValue::new(&value.to_ne_bytes())), decode)
}

const fn seconds(level: c_int, name: c_int) -> SocketOption<Duration> {
    let encode = |time: Duration| Ok(ints(&[small(whole_seconds(time))?]));
    SocketOption::new(level, name, encode, |bytes| Ok(Duration::from_secs(int(bytes, 0)? as u64)))
}

const fn milliseconds(level: c_int, name: c_int) -> SocketOption<Duration> {
    let encode = |time: Duration| Ok(ints(&[small(time.as_nanos().div_ceil(1_000_000))?]));
    SocketOption::new(level, name, encode, |bytes| Ok(Duration::from_millis(int(bytes, 0)? as u64)))
}

const fn microseconds(level: c_int, name: c_int) -> SocketOption<Duration> {
    let encode = |time: Duration| Ok(ints(&[small(time.as_nanos().div_ceil(1_000))?]));
    SocketOption::new(level, name, encode, |bytes| Ok(Duration::from_micros(int(bytes, 0)? as u64)))
}

const fn linger(level: c_int, name: c_int) -> SocketOption<Option<Duration>> {
    fn encode(time: Option<Duration>) -> io::Result<OptionValue> {
        let time = time.map(|time| small(whole_seconds(time))).transpose()?;
        Ok(ints(&[time.is_some().into(), time.unwrap_or(0)]))
    }
    fn decode(bytes: &[u8]) -> io::Result<Option<Duration>> {
        Ok((int(bytes, 0)? != 0).then_some(Duration::from_secs(int(bytes, 1)? as u64)))
    }
    SocketOption::new(level, name, encode, decode)
}

const fn error(level: c_int, name: c_int) -> SocketOption<Option<io::Error>> {
    let decode = |bytes: &[u8]| Ok(Some(int(bytes, 0)?).filter(|&errno| errno != 0).map(io::Error::from_raw_os_error));
    SocketOption::new(level, name, |_| Err(read_only()), decode)
}

const fn domain(level: c_int, name: c_int) -> SocketOption<Domain> {
    SocketOption::new(level, name, |_| Err(read_only()), |bytes| Ok(Domain::from(int(bytes, 0)?)))
}

const fn socket_type(level: c_int, name: c_int) -> SocketOption<SocketType> {
    SocketOption::new(level, name, |_| Err(read_only()), |bytes| Ok(SocketType::from(int(bytes, 0)?)))
}

const fn credentials(level: c_int, name: c_int) -> SocketOption<Credentials> {
    fn decode(bytes: &[u8]) -> io::Result<Credentials> {
        let field = |index| int(bytes, index).map(|field| field as u32);
        Ok(Credentials { process: field(0)?, user: field(1)?, group: field(2)? })
    }
    SocketOption::new(level, name, |_| Err(read_only()), decode)
}

const fn text(level: c_int, name: c_int) -> SocketOption<String> {
    fn encode(text: String) -> io::Result<OptionValue> {
        if text.len() >= sockets::IF_NAMESIZE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name is too long: the kernel takes at most 15 bytes",
            ));
        }
        Ok(OptionValue::new(text.as_bytes()))
    }
    fn decode(bytes: &[u8]) -> io::Result<String> {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
    SocketOption::new(level, name, encode, decode)
}

const fn address_v4(level: c_int, name: c_int) -> SocketOption<Ipv4Addr> {
    let decode = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).map_err(|_| malformed());
    SocketOption::new(level, name, |address| Ok(OptionValue::new(&address.octets())), decode)
}

const fn membership_v4(level: c_int, name: c_int) -> SocketOption<(Ipv4Addr, Ipv4Addr)> {
    // `ip_mreq`: the group, the interface.
    let encode =
        |(group, interface): (Ipv4Addr, Ipv4Addr)| Ok(OptionValue::new(&[group.octets(), interface.octets()].concat()));
    SocketOption::new(level, name, encode, |_| Err(write_only()))
}

const fn membership_v6(level: c_int, name: c_int) -> SocketOption<(Ipv6Addr, u32)> {
    // `ipv6_mreq`: the group, the interface.
    let encode = |(group, interface): (Ipv6Addr, u32)| {
        Ok(OptionValue::new(&[&group.octets()[..], &interface.to_ne_bytes()].concat()))
    };
    SocketOption::new(level, name, encode, |_| Err(write_only()))
}

fn ints(values: &[c_int]) -> OptionValue {
    let mut value = OptionValue::new(&[]);
    for (slot, int) in value.bytes.chunks_exact_mut(size_of::<c_int>()).zip(values) {
        slot.copy_from_slice(&int.to_ne_bytes());
    }
    value.length = size_of_val(values) as u8;
    value
}

/// Returns the `index`th int of a value. The kernel returns a byte for some options that are a byte long.
fn int(bytes: &[u8], index: usize) -> io::Result<c_int> {
    if let (&[byte], 0) = (bytes, index) {
        return Ok(byte.into());
    }
    let (ints, _) = bytes.as_chunks::<{ size_of::<c_int>() }>();
    ints.get(index).copied().map(c_int::from_ne_bytes).ok_or_else(malformed)
}

fn small<T: TryInto<c_int>>(value: T) -> io::Result<c_int> {
    value.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the value of the option is too large"))
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add((time.subsec_nanos() > 0).into())
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "this socket option can only be read")
}

fn write_only() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "this socket option can only be set, not read")
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the kernel returned a value of an unexpected length for the socket option",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T>(option: SocketOption<T>, value: T) -> T {
        option.decode(&option.encode(value).unwrap()).unwrap()
    }

    #[test]
    fn values_come_back() {
        assert!(round_trip(NO_DELAY, true));
        assert_eq!(round_trip(MARK, 7), 7);
        assert_eq!(round_trip(SEND_BUFFER_SIZE, 1 << 20), 1 << 20);
        assert_eq!(round_trip(COOKIE, u64::MAX), u64::MAX);
        assert_eq!(round_trip(LINGER, None), None);
        assert_eq!(round_trip(DEVICE, "lo".into()), "lo");
        assert_eq!(round_trip(MULTICAST_INTERFACE, Ipv4Addr::LOCALHOST), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn times_are_rounded_up_and_bounded() {
        let nano = Duration::from_nanos(1);
        assert_eq!(round_trip(KEEP_ALIVE_TIME, nano), Duration::from_secs(1));
        assert_eq!(round_trip(USER_TIMEOUT, nano), Duration::from_millis(1));
        assert_eq!(round_trip(BUSY_POLL, nano), Duration::from_micros(1));
        assert_eq!(round_trip(LINGER, Some(nano)), Some(Duration::from_secs(1)));
        for option in [KEEP_ALIVE_TIME, USER_TIMEOUT, BUSY_POLL] {
            assert_eq!(option.encode(Duration::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn what_cannot_be_set_or_asked_for_is_refused() {
        assert_eq!(PENDING_ERROR.encode(None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(JOIN_MULTICAST.decode(&ints(&[0, 0])).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(DEVICE.encode("n".repeat(16)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn values_of_another_length_are_refused() {
        assert!(MARK.decode(&OptionValue::new(&[1, 2])).is_err());
        assert!(LINGER.decode(&ints(&[1])).is_err());
        assert_eq!(MULTICAST_TIME_TO_LIVE.decode(&OptionValue::new(&[3])).unwrap(), 3);
    }
}
