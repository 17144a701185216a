//! The macro `select!`.

/// Waits for the first of several sources and runs the arm of the one that was taken.
///
/// `select!(io, { pattern = source => expression, .. })` is [`io.select`](crate::Io#method.select) with a name for each
/// output. It returns `Result<T, Canceled>`, where `T` is the type of the expressions. The expressions run after the wait,
/// in the function around the macro: they may use `?`, `return`, `break` and `continue`.
///
/// ```
/// use std::io;
/// use iolite_io::{Interval, Io, Task, net::TcpStream, select, sync::{Event, mpmc::Receiver}};
///
/// fn serve(
///     io: &dyn Io,
///     stream: &TcpStream,
///     stop: &Event,
///     mut reader: Task<io::Result<()>>,
///     outgoing: &Receiver<Vec<u8>>,
///     pings: &mut Interval,
/// ) -> io::Result<()> {
///     loop {
///         select!(io, {
///             () = stop.on_wait() => return Ok(()),
///             () = reader.on_finish() => return reader.join(io),
///             message = outgoing.on_recv() => stream.write_all(io, &message?)?,
///             _ = pings.on_tick() => stream.write_all(io, b"ping\n")?,
///         })?;
///     }
/// }
/// ```
///
/// - If several sources are ready at once, the arm that is written first wins.
/// - An arm with a condition, `item = receiver.on_recv(), if !paused => ..`, takes part only if the condition is true.
///   If no arm takes part, the wait ends only by cancellation.
/// - Patterns have to match every output, as in `let`. Take a `Result` apart in the expression.
/// - An arm ends with a comma. After a block the comma may be left out, as in `match`.
/// - There are one to eight arms. Several sources of one kind go into one arm as an array or a `Vec`, whose output is the
///   index and the value.
///
/// # Cancellation
///
/// A cancellation point, even if a source is ready. A canceled wait has taken nothing.
///
/// # Errors
///
/// [`Canceled`](crate::Canceled).
#[macro_export]
macro_rules! select {
    ($io:expr, { $($arms:tt)+ }) => {
        $crate::select!(@parse $io; []; $($arms)+)
    };

    // Takes the arms apart, one by one.
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr => $body:block $(,)?) => {
        $crate::select!(@wait $io; $($done)* ($output) ($source) ($body))
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr => $body:expr $(,)?) => {
        $crate::select!(@wait $io; $($done)* ($output) ($source) ($body))
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr, if $condition:expr => $body:block $(,)?) => {
        $crate::select!(@wait $io; $($done)* ($output) (if $condition { Some($source) } else { None }) ($body))
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr, if $condition:expr => $body:expr $(,)?) => {
        $crate::select!(@wait $io; $($done)* ($output) (if $condition { Some($source) } else { None }) ($body))
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr => $body:block, $($rest:tt)+) => {
        $crate::select!(@parse $io; [$($done)* ($output) ($source) ($body)]; $($rest)+)
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr => $body:block $($rest:tt)+) => {
        $crate::select!(@parse $io; [$($done)* ($output) ($source) ($body)]; $($rest)+)
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr => $body:expr, $($rest:tt)+) => {
        $crate::select!(@parse $io; [$($done)* ($output) ($source) ($body)]; $($rest)+)
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr, if $condition:expr => $body:block, $($rest:tt)+) => {
        $crate::select!(@parse $io; [
            $($done)* ($output) (if $condition { Some($source) } else { None }) ($body)
        ]; $($rest)+)
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr, if $condition:expr => $body:block $($rest:tt)+) => {
        $crate::select!(@parse $io; [
            $($done)* ($output) (if $condition { Some($source) } else { None }) ($body)
        ]; $($rest)+)
    };
    (@parse $io:expr; [$($done:tt)*]; $output:pat = $source:expr, if $condition:expr => $body:expr, $($rest:tt)+) => {
        $crate::select!(@parse $io; [
            $($done)* ($output) (if $condition { Some($source) } else { None }) ($body)
        ]; $($rest)+)
    };

    // One arm has no `OneOf`.
    (@wait $io:expr; ($output:pat) ($source:expr) ($body:expr)) => {
        match $io.select($source) {
            Ok($output) => $crate::select!(@run $body),
            Err(canceled) => Err(canceled),
        }
    };
    (@wait $io:expr; $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt) => {
        $crate::select!(@match $io; OneOf2; First $a $b $c; Second $d $e $f;)
    };
    (@wait $io:expr; $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt $i:tt) => {
        $crate::select!(@match $io; OneOf3; First $a $b $c; Second $d $e $f; Third $g $h $i;)
    };
    (@wait $io:expr; $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt $i:tt $j:tt $k:tt $l:tt) => {
        $crate::select!(@match $io; OneOf4; First $a $b $c; Second $d $e $f; Third $g $h $i; Fourth $j $k $l;)
    };
    (@wait $io:expr; $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt $i:tt $j:tt $k:tt $l:tt $m:tt $n:tt $o:tt) => {
        $crate::select!(@match $io; OneOf5;
            First $a $b $c; Second $d $e $f; Third $g $h $i; Fourth $j $k $l; Fifth $m $n $o;)
    };
    (@wait $io:expr; $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt $i:tt $j:tt $k:tt $l:tt $m:tt $n:tt $o:tt
        $p:tt $q:tt $r:tt) => {
        $crate::select!(@match $io; OneOf6;
            First $a $b $c; Second $d $e $f; Third $g $h $i; Fourth $j $k $l; Fifth $m $n $o; Sixth $p $q $r;)
    };
    (@wait $io:expr; $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt $i:tt $j:tt $k:tt $l:tt $m:tt $n:tt $o:tt
        $p:tt $q:tt $r:tt $s:tt $t:tt $u:tt) => {
        $crate::select!(@match $io; OneOf7;
            First $a $b $c; Second $d $e $f; Third $g $h $i; Fourth $j $k $l; Fifth $m $n $o; Sixth $p $q $r;
            Seventh $s $t $u;)
    };
    (@wait $io:expr; $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt $i:tt $j:tt $k:tt $l:tt $m:tt $n:tt $o:tt
        $p:tt $q:tt $r:tt $s:tt $t:tt $u:tt $v:tt $w:tt $x:tt) => {
        $crate::select!(@match $io; OneOf8;
            First $a $b $c; Second $d $e $f; Third $g $h $i; Fourth $j $k $l; Fifth $m $n $o; Sixth $p $q $r;
            Seventh $s $t $u; Eighth $v $w $x;)
    };
    (@wait $($more:tt)*) => {
        compile_error!("select! takes at most eight arms: put sources of one kind into one arm, as an array or a `Vec`")
    };

    (@match $io:expr; $one_of:ident; $($place:ident ($output:pat) ($source:expr) ($body:expr);)+) => {
        match $io.select(($($source,)+)) {
            $(Ok($crate::select::$one_of::$place($output)) => $crate::select!(@run $body),)+
            Err(canceled) => Err(canceled),
        }
    };

    // An arm that returns or breaks has no value.
    (@run $body:expr) => {{
        #[allow(unreachable_code, clippy::diverging_sub_expression)]
        let made = Ok($body);
        made
    }};
}
