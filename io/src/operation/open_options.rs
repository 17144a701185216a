//! How to open a file.

/// How to open a file, as in std.
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
    /// Nothing chosen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// For reading.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// For writing.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// For writing at the end, wherever that is by then.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// Cut to length 0.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Make it if it does not exist.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Make it, and fail if it exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// The permission bits of a file that is made, before the process' mask; 0o666 by default.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Further flags for `open`, such as `O_DIRECT`, in place of those of an earlier call. What is
    /// chosen by the other options, the access mode above all, stays as it is.
    ///
    /// Reads and writes of an `O_DIRECT` file go past the page cache. Most file systems want memory, offset and
    /// length to be multiples of the disk's block, 512 bytes or 4 KiB, and answer `EINVAL` to others. The
    /// buffers of a [`BufferPool`](crate::net::BufferPool) of whole pages are as they want them.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        self
    }
}
