//! Timeouts around calls whose error is a `Box<dyn Error>`.

use std::error::Error;
use std::io;

use crate::cancel::{Canceled, CarriesCanceled, TimedOut, WaitError};
use crate::runnable::SpawnErrorKind;
use crate::sync::{RecvError, SendErrorKind, broadcast};

/// Implements `CarriesCanceled` for boxed errors by searching each error and its [`source`](Error::source)s.
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

/// Finds the `Canceled` in an error or in one of its sources.
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

/// The maximum number of errors to look at, because an error could be its own source.
const CHAIN_MAX: usize = 100;
