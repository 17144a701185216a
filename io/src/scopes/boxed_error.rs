//! Timeouts around calls whose error is a `Box<dyn Error>`.

use std::error::Error;
use std::io;

use crate::cancel::{Canceled, CarriesCanceled, TimedOut, WaitError};
use crate::runnable::SpawnErrorKind;
use crate::sync::{RecvError, SendErrorKind, broadcast};

/// Boxes whose errors are looked through, each with its [`source`](Error::source).
macro_rules! boxed {
    ($($error:ty),*) => {$(
        impl CarriesCanceled for Box<$error> {
            type OrTimedOut = Self;

            fn canceled(&self) -> Option<&Canceled> {
                canceled_in(&**self)
            }

            fn into_or_timed_out(self) -> Self {
                self
            }

            fn into_timed_out(self) -> Self {
                Box::new(TimedOut)
            }
        }
    )*};
}

boxed!(dyn Error, dyn Error + Send, dyn Error + Send + Sync);

/// The `Canceled` in an error, in one that brought it about, and so on.
fn canceled_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Canceled> {
    fn of<'a, E: Error + CarriesCanceled + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a Canceled> {
        error.downcast_ref::<E>().and_then(CarriesCanceled::canceled)
    }
    let errors = std::iter::successors(Some(error), |&error| error.source());
    errors.take(CHAIN_MAX).find_map(|error| {
        of::<Canceled>(error)
            .or_else(|| of::<io::Error>(error))
            .or_else(|| of::<WaitError>(error))
            .or_else(|| of::<RecvError>(error))
            .or_else(|| of::<SendErrorKind>(error))
            .or_else(|| of::<broadcast::RecvError>(error))
            .or_else(|| of::<SpawnErrorKind>(error))
    })
}

/// How many errors are looked at: one could be its own source.
const CHAIN_MAX: usize = 100;
