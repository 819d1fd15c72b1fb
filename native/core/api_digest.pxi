# Python's side of sha256.pxi and frames.pxi.

from native.errors import FrameError

cdef tuple FRAME_REASONS = (
    None,
    "COMPRESSION_NOT_SUPPORTED",
    "FRAME_INVALID",
    "BODY_TOO_LARGE",
    "MESSAGE_COUNT_INVALID",
    "FRAME_INVALID",
)


cdef bytes gb_type_name(str type_):
    """The signed type as ASCII."""
    if not type_.isascii() or not 1 <= len(type_) <= 64:
        raise ValueError("a signed type is 1 to 64 ASCII characters")
    return type_.encode("ascii")


cdef inline gb_span gb_bytes_span(bytes data):
    return gb_make_span(<const u8*><const char*>data, <size_t>len(data))


def pae(str type_ not None, bytes body not None):
    """DSSE's pre-authentication encoding of a body under a type."""
    cdef u8 prefix[128]
    cdef bytes name = gb_type_name(type_)
    cdef size_t n = gb_pae_prefix(gb_bytes_span(name), <u64>len(body), prefix)
    return PyBytes_FromStringAndSize(<const char*>prefix, <Py_ssize_t>n) + body


def header_digest(str type_ not None, bytes header not None):
    """SHA-256(PAE(type, header))."""
    cdef u8 out[32]
    cdef bytes name = gb_type_name(type_)
    gb_header_digest(gb_bytes_span(name), gb_bytes_span(header), out)
    return PyBytes_FromStringAndSize(<const char*>out, 32)


def leaf_hash(str type_ not None, bytes header not None):
    """SHA-256(0x00 || PAE(type, header))."""
    cdef u8 out[32]
    cdef bytes name = gb_type_name(type_)
    gb_leaf(gb_bytes_span(name), gb_bytes_span(header), out)
    return PyBytes_FromStringAndSize(<const char*>out, 32)


def frame(bytes message not None):
    """One message as gRPC sends it, uncompressed."""
    if len(message) > 0xFFFFFFFF:
        raise ValueError("a message is below 4 GiB")
    return b"\0" + len(message).to_bytes(4, "big") + message


def body_commitment(bytes salt not None, bytes frames_digest not None):
    """SHA-256(salt || SHA-256(frames)); both are 32 bytes."""
    cdef u8 out[32]
    if len(salt) != 32 or len(frames_digest) != 32:
        raise ValueError("salt and digest are 32 bytes each")
    gb_commitment(<const u8*><const char*>salt, <const u8*><const char*>frames_digest, out)
    return PyBytes_FromStringAndSize(<const char*>out, 32)


cdef class FrameHasher:
    """Checks, counts and hashes gRPC messages that come in any pieces; see frames.pxi for the rules."""

    cdef gb_frames frames

    def __init__(self, max_message=4 << 20, max_messages=None):
        gb_frames_init(&self.frames, max_message or 0, 0)
        self.frames.max_messages = max_messages or 0

    def __cinit__(self):
        gb_frames_init(&self.frames, 4 << 20, 0)

    def update(self, bytes chunk not None):
        """Takes a piece; FrameError at the first thing wrong, and ever after."""
        cdef const u8* p = <const u8*><const char*>chunk
        cdef size_t n = <size_t>len(chunk)
        cdef int error
        if n < 8192:
            error = gb_frames_update(&self.frames, p, n)
        else:
            with nogil:
                error = gb_frames_update(&self.frames, p, n)
        if error:
            raise FrameError(FRAME_REASONS[error])

    def digest(self):
        """SHA-256 of what was taken so far, whole messages or not."""
        cdef u8 out[32]
        if self.frames.failed:
            raise FrameError(FRAME_REASONS[self.frames.failed])
        gb_frames_digest(&self.frames, out)
        return PyBytes_FromStringAndSize(<const char*>out, 32)

    def finish(self):
        """SHA-256 of all frames; FrameError inside a message."""
        cdef u8 out[32]
        cdef int error = gb_frames_finish(&self.frames, out)
        if error:
            raise FrameError(FRAME_REASONS[error])
        return PyBytes_FromStringAndSize(<const char*>out, 32)

    @property
    def messages(self):
        """Messages that are complete."""
        return self.frames.messages

    @property
    def bytes(self):
        """Bytes taken, prefixes included."""
        return self.frames.bytes
