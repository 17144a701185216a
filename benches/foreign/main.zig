//! The measurements in Zig, on `std.Io.Threaded`, for the jobs of src/job.rs: the argument is the job, as JSON, and the result is
//! a line of JSON on stdout. A server prints its address and then answers the questions on stdin.

const std = @import("std");
const Io = std.Io;
const net = Io.net;

/// The number of operations between two looks at the clock.
const chunk = 1000;
/// The number of times that each of two tasks yields before both are joined.
const yields = 5000;
/// The number of `async` tasks that have a thread at once, as with iolite's threads.
const workers = 64;

const gpa = std.heap.smp_allocator;

const Job = union(enum) {
    Echo: struct { buffer_bytes: usize },
    Tasks: struct { batch: usize, seconds: f64 },
    Yield: struct { seconds: f64 },
    Channel: struct { seconds: f64 },
    Memory: struct { fibers: usize },
};

pub fn main(init: std.process.Init.Minimal) !void {
    var threaded: Io.Threaded = .init(gpa, .{ .async_limit = .limited(workers) });
    defer threaded.deinit();
    const io = threaded.io();
    var arguments = init.args.iterate();
    _ = arguments.skip();
    const text = arguments.next() orelse return error.NoJob;
    const job = try std.json.parseFromSliceLeaky(Job, gpa, text, .{});
    switch (job) {
        .Echo => |asked| try serve(io, asked.buffer_bytes),
        .Tasks => |asked| try measureTasks(io, asked.batch, asked.seconds),
        .Yield => |asked| try measureYields(io, asked.seconds),
        .Channel => |asked| try measureChannel(io, asked.seconds),
        .Memory => |asked| try measureMemory(io, asked.fibers),
    }
}

fn say(io: Io, comptime format: []const u8, arguments: anytype) !void {
    var buffer: [256]u8 = undefined;
    var output = Io.File.stdout().writerStreaming(io, &buffer);
    try output.interface.print(format ++ "\n", arguments);
    try output.interface.flush();
}

fn serve(io: Io, buffer_bytes: usize) !void {
    const address: net.IpAddress = .{ .ip4 = .loopback(0) };
    var server = try address.listen(io, .{});
    try say(io, "\"{f}\"", .{server.socket.address});
    var parent = try io.concurrent(answerParent, .{io});
    defer parent.cancel(io) catch {};
    var connections: Io.Group = .init;
    defer connections.cancel(io);
    while (true) {
        const stream = try server.accept(io);
        try connections.concurrent(io, echo, .{ io, stream, buffer_bytes });
    }
}

/// An error ends its connection.
fn echo(io: Io, stream: net.Stream, buffer_bytes: usize) Io.Cancelable!void {
    defer stream.close(io);
    echoAll(io, stream, buffer_bytes) catch {};
}

fn echoAll(io: Io, stream: net.Stream, buffer_bytes: usize) !void {
    try std.posix.setsockopt(stream.socket.handle, std.posix.IPPROTO.TCP, std.posix.TCP.NODELAY, &std.mem.toBytes(@as(c_int, 1)));
    const buffer = try gpa.alloc(u8, buffer_bytes);
    defer gpa.free(buffer);
    var writer = stream.writer(io, &.{});
    while (true) {
        var data = [_][]u8{buffer};
        const bytes = try stream.read(io, &data);
        if (bytes == 0) return;
        try writer.interface.writeAll(buffer[0..bytes]);
    }
}

fn answerParent(io: Io) !void {
    var buffer: [256]u8 = undefined;
    var input = Io.File.stdin().readerStreaming(io, &buffer);
    while (try input.interface.takeDelimiter('\n')) |line| {
        if (std.mem.eql(u8, line, "\"Usage\"")) {
            const usage = std.posix.getrusage(std.posix.rusage.SELF);
            try say(io, "{{\"user_us\":{d},\"system_us\":{d}}}", .{ micros(usage.utime), micros(usage.stime) });
        } else {
            try say(io, "{d}", .{try residentBytes(io)});
        }
    }
    std.process.exit(0);
}

fn micros(time: std.posix.timeval) i64 {
    return time.sec * 1_000_000 + time.usec;
}

fn residentBytes(io: Io) !u64 {
    var buffer: [4096]u8 = undefined;
    const rollup = try Io.Dir.cwd().readFile(io, "/proc/self/smaps_rollup", &buffer);
    var lines = std.mem.splitScalar(u8, rollup, '\n');
    while (lines.next()) |line| {
        if (!std.mem.startsWith(u8, line, "Rss:")) continue;
        var words = std.mem.tokenizeScalar(u8, line["Rss:".len..], ' ');
        return 1024 * try std.fmt.parseInt(u64, words.next() orelse return error.NoRss, 10);
    }
    return error.NoRss;
}

/// Counts operations for a while, after a warm-up of a tenth of it.
const Stopwatch = struct {
    io: Io,
    made: i96,
    begun: ?i96 = null,
    ended: i96,
    duration: i96,
    operations: u64 = 0,

    fn init(io: Io, seconds: f64) Stopwatch {
        const now = Io.Timestamp.now(io, .awake).nanoseconds;
        return .{ .io = io, .made = now, .ended = now, .duration = @intFromFloat(seconds * 1e9) };
    }

    /// Returns true if the measurement continues. To be called before each chunk of this number of operations.
    fn goesOn(watch: *Stopwatch, operations: u64) bool {
        watch.ended = Io.Timestamp.now(watch.io, .awake).nanoseconds;
        const begun = watch.begun orelse {
            if (watch.ended - watch.made >= @divTrunc(watch.duration, 10)) watch.begun = watch.ended;
            return true;
        };
        watch.operations += operations;
        return watch.ended - begun < watch.duration;
    }

    fn sayNanoseconds(watch: *const Stopwatch) !void {
        const nanoseconds: f64 = @floatFromInt(watch.ended - watch.begun.?);
        const operations: f64 = @floatFromInt(watch.operations);
        try say(watch.io, "{{\"ns_per_operation\":{d:.3}}}", .{nanoseconds / operations});
    }
};

fn same(number: usize) usize {
    return number;
}

fn measureTasks(io: Io, batch: usize, seconds: f64) !void {
    var watch: Stopwatch = .init(io, seconds);
    const tasks = try gpa.alloc(Io.Future(usize), batch);
    const turns = (chunk + batch - 1) / batch;
    while (watch.goesOn(turns * batch)) {
        for (0..turns) |_| {
            for (tasks, 0..) |*task, number| task.* = io.async(same, .{number});
            for (tasks) |*task| std.mem.doNotOptimizeAway(task.await(io));
        }
    }
    try watch.sayNanoseconds();
}

fn yieldAll() void {
    for (0..yields) |_| std.Thread.yield() catch unreachable;
}

fn measureYields(io: Io, seconds: f64) !void {
    var watch: Stopwatch = .init(io, seconds);
    while (watch.goesOn(2 * yields)) {
        var one = try io.concurrent(yieldAll, .{});
        var other = try io.concurrent(yieldAll, .{});
        one.await(io);
        other.await(io);
    }
    try watch.sayNanoseconds();
}

fn giveBack(io: Io, pings: *Io.Queue(u64), pongs: *Io.Queue(u64)) !void {
    while (true) {
        const number = pings.getOne(io) catch |err| switch (err) {
            error.Closed => return,
            else => return err,
        };
        try pongs.putOne(io, number);
    }
}

fn measureChannel(io: Io, seconds: f64) !void {
    var watch: Stopwatch = .init(io, seconds);
    var room: [2][1]u64 = undefined;
    var pings: Io.Queue(u64) = .init(&room[0]);
    var pongs: Io.Queue(u64) = .init(&room[1]);
    var partner = try io.concurrent(giveBack, .{ io, &pings, &pongs });
    while (watch.goesOn(2 * chunk)) {
        for (0..chunk) |number| {
            try pings.putOne(io, number);
            if (try pongs.getOne(io) != number) return error.AnotherNumber;
        }
    }
    pings.close(io);
    try partner.await(io);
    try watch.sayNanoseconds();
}

fn wait(io: Io, alive: *std.atomic.Value(usize), end: *Io.Event) Io.Cancelable!void {
    _ = alive.fetchAdd(1, .monotonic);
    try end.wait(io);
}

fn measureMemory(io: Io, fibers: usize) !void {
    var alive: std.atomic.Value(usize) = .init(0);
    var end: Io.Event = .unset;
    var group: Io.Group = .init;
    const before = try residentBytes(io);
    for (0..fibers) |_| try group.concurrent(io, wait, .{ io, &alive, &end });
    while (alive.load(.monotonic) < fibers) try io.sleep(.fromMilliseconds(1), .awake);
    const with_all = try residentBytes(io);
    end.set(io);
    try group.await(io);
    const grown: f64 = @floatFromInt(with_all - before);
    const count: f64 = @floatFromInt(fibers);
    try say(io, "{{\"alive\":{d},\"bytes_per_task\":{d:.3}}}", .{ fibers, grown / count });
}
