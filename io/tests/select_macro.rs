//! The forms of the arms of `select!`.

use std::time::Duration;

use iolite_io::sync::{Event, mpmc};
use iolite_io::testing::Failing;
use iolite_io::{Canceled, Io, select};

const IO: &dyn Io = &Failing;

#[test]
fn an_arm_runs_with_the_output_of_its_source() -> Result<(), Canceled> {
    let (sender, receiver) = mpmc::channel(1);
    let event = Event::new();
    let which = |io: &dyn Io| {
        select!(io, {
            () = event.on_wait() => "event".to_owned(),
            item = receiver.on_recv() => format!("item {}", item.expect("open")),
        })
    };
    sender.try_send(5).expect("room");
    assert_eq!(which(IO)?, "item 5");
    event.set();
    assert_eq!(which(IO)?, "event");
    Ok(())
}

#[test]
fn the_first_arm_wins_and_nothing_is_taken_from_the_others() -> Result<(), Canceled> {
    let (sender, receiver) = mpmc::channel(1);
    sender.try_send(7).expect("room");
    let event = Event::new();
    event.set();
    let came = select!(IO, {
        () = event.on_wait() => None,
        item = receiver.on_recv() => item.ok(),
    })?;
    assert_eq!((came, receiver.try_recv()), (None, Ok(7)));
    Ok(())
}

#[test]
fn arms_return_break_and_fail_in_the_function_around() {
    fn returns(io: &dyn Io, event: &Event) -> Result<u32, String> {
        let mut rounds = 0;
        loop {
            select!(io, {
                () = event.on_wait() => {
                    rounds += 1;
                    match rounds {
                        1 => continue,
                        2 => Err("the second round".to_owned())?,
                        _ => return Ok(rounds),
                    }
                }
                _ = io.now() + Duration::from_secs(60) => break,
            })
            .map_err(|canceled| canceled.to_string())?;
        }
        Ok(0)
    }
    let event = Event::new();
    event.set();
    assert_eq!(returns(IO, &event), Err("the second round".to_owned()));
}

#[test]
fn all_arms_may_diverge() {
    fn diverges(io: &dyn Io, event: &Event) -> Result<u32, Canceled> {
        select!(io, {
            () = event.on_wait() => return Ok(3),
            _ = io.now() + Duration::from_secs(60) => return Ok(4),
        })
    }
    let event = Event::new();
    event.set();
    assert_eq!(diverges(IO, &event).ok(), Some(3));
}

#[test]
fn a_condition_leaves_an_arm_out() -> Result<(), Canceled> {
    let event = Event::new();
    event.set();
    for paused in [true, false] {
        let came = select!(IO, {
            () = event.on_wait(), if !paused => "event",
            () = IO.now() => "deadline",
        })?;
        assert_eq!(came, if paused { "deadline" } else { "event" });
    }
    Ok(())
}

#[test]
fn an_arm_may_be_a_block_without_a_comma_and_there_may_be_one_alone() -> Result<(), Canceled> {
    let event = Event::new();
    event.set();
    let alone = select!(IO, { () = event.on_wait() => { 1 } })?;
    let conditional = select!(IO, { () = event.on_wait(), if alone == 1 => 2 })?;
    let many = select!(IO, { (index, ()) = [event.on_wait(), event.on_wait()] => index })?;
    assert_eq!((alone, conditional, many), (1, 2, 0));
    Ok(())
}

#[test]
fn there_may_be_eight_arms() -> Result<(), Canceled> {
    let events = [(); 8].map(|()| Event::new());
    let [a, b, c, d, e, f, g, h] = &events;
    for (index, event) in events.iter().enumerate().rev() {
        event.set();
        let came = select!(IO, {
            () = a.on_wait() => 0,
            () = b.on_wait() => 1,
            () = c.on_wait() => 2,
            () = d.on_wait() => 3,
            () = e.on_wait() => 4,
            () = f.on_wait() => 5,
            () = g.on_wait() => 6,
            () = h.on_wait() => 7,
        })?;
        assert_eq!(came, index);
    }
    for arms in 2..8 {
        let came = match arms {
            2 => select!(IO, { () = b.on_wait() => 1, () = h.on_wait() => 7 })?,
            3 => select!(IO, { () = b.on_wait() => 1, () = c.on_wait() => 2, () = h.on_wait() => 7 })?,
            4 => select!(IO, {
                () = b.on_wait() => 1, () = c.on_wait() => 2, () = d.on_wait() => 3, () = h.on_wait() => 7,
            })?,
            5 => select!(IO, {
                () = b.on_wait() => 1, () = c.on_wait() => 2, () = d.on_wait() => 3, () = e.on_wait() => 4,
                () = h.on_wait() => 7,
            })?,
            6 => select!(IO, {
                () = b.on_wait() => 1, () = c.on_wait() => 2, () = d.on_wait() => 3, () = e.on_wait() => 4,
                () = f.on_wait() => 5, () = h.on_wait() => 7,
            })?,
            _ => select!(IO, {
                () = b.on_wait() => 1, () = c.on_wait() => 2, () = d.on_wait() => 3, () = e.on_wait() => 4,
                () = f.on_wait() => 5, () = g.on_wait() => 6, () = h.on_wait() => 7,
            })?,
        };
        assert_eq!(came, 1);
    }
    Ok(())
}

#[test]
fn blocks_end_with_or_without_a_comma() -> Result<(), Canceled> {
    let (first, second) = (Event::new(), Event::new());
    second.set();
    let with = select!(IO, {
        () = first.on_wait() => { 1 },
        () = first.on_wait(), if true => { 2 },
        () = second.on_wait() => { 3 },
    })?;
    let without = select!(IO, {
        () = first.on_wait() => { 1 }
        () = first.on_wait(), if true => { 2 }
        () = second.on_wait() => { 3 }
    })?;
    assert_eq!((with, without), (3, 3));
    Ok(())
}
