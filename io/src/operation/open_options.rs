//! The options for opening a file.

/// The options for opening a file, as in std.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) truncate: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) mode: Option<u32>,
    pub(crate) custom_flags: i32,
}

impl OpenOptions {
    /// Makes options of which none is chosen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the file for reading.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// Opens the file for writing.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// Opens the file for appending: each write goes to where the end of the file is at that time.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// Cuts the file to length 0.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Makes the file if it does not exist.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Makes the file, and fails if it exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// Sets the permission bits of a file that is made, before the process' mask; 0o666 by default.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Sets further flags for `open`, such as `O_DIRECT`, in place of those of an earlier call. The flags do not change what
    /// the other options choose, above all the access mode.
    ///
    /// Reads and writes of an `O_DIRECT` file bypass the page cache. Most file systems require memory, offset and
    /// length to be multiples of the disk's block, 512 bytes or 4 KiB, and fail with `EINVAL` otherwise. The
    /// buffers of a [`BufferPool`](crate::net::BufferPool) of whole pages meet that.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        self
    }
}
