# Python's side of the codec, base64 and the reason table. Needs everything of codec*.pxi, base64.pxi, reasons.pxi.

from native.errors import CODEC_FAULTS, CodecError
from native.headers import (
    Admission,
    GateKey,
    Receipt,
    Refusal,
    RequestHeader,
    ResponseHeader,
    Signature,
    SnapshotHeader,
)

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII

cdef extern from "Python.h":
    ctypedef struct gb_type_object "PyTypeObject":
        int (*tp_descr_set)(object slot, object value, object item) except -1
    gb_type_object* Py_TYPE(object value)
    object PyType_GenericNew(gb_type_object* cls, void* args, void* keywords)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_ASCII(object text)

cdef tuple FAULTS = (None, *CODEC_FAULTS)

cdef class _Kind:
    """One message: its table, its class, its fields' names and slots in the order of their numbers."""

    cdef const gb_message* message
    cdef type cls
    cdef tuple names
    cdef tuple slots


cdef _Kind gb_kind(const gb_message* message, type cls):
    cdef _Kind kind = _Kind.__new__(_Kind)
    kind.message = message
    kind.cls = cls
    kind.names = cls.__slots__
    kind.slots = tuple([cls.__dict__[name] for name in kind.names])
    if len(kind.names) != message.count:
        raise AssertionError(f"{cls.__name__} and its table in codec_tables.pxi differ")
    return kind


cdef object gb_codec_error(_Kind kind, int error, int field):
    return CodecError(FAULTS[error], kind.names[field - 1] if field else None)


cdef object gb_value_of(const gb_field* f, const u8* base):
    cdef gb_span s
    if f.flags & GB_NUMBER:
        return (<const u64*>(base + f.offset))[0]
    s = (<const gb_span*>(base + f.offset))[0]
    if f.text == GB_ANY or f.text == GB_NODES:
        return PyBytes_FromStringAndSize(<const char*>s.p, <Py_ssize_t>s.n)
    return PyUnicode_DecodeASCII(<const char*>s.p, <Py_ssize_t>s.n, NULL)


cdef inline int gb_fill_slot(object slot, object value, object item) except -1:
    return Py_TYPE(slot).tp_descr_set(slot, value, item)


cdef object gb_decode_object(_Kind kind, bytes data):
    cdef u64 storage[64]
    cdef const u8* p = <const u8*><const char*>data
    cdef int field = 0, error
    cdef u32 i
    error = gb_parse(kind.message, p, <size_t>len(data), storage, &field)
    if error:
        raise gb_codec_error(kind, error, field)
    # Into the slots themselves, past the frozen class's own __setattr__.
    value = PyType_GenericNew(<gb_type_object*>kind.cls, NULL, NULL)
    for i in range(kind.message.count):
        gb_fill_slot(kind.slots[i], value, gb_value_of(&kind.message.fields[i], <const u8*>storage))
    return value


cdef int gb_take_number(object value, u8* at) except -1:
    """Stores an int; GB_E_RANGE when it does not fit 64 bits."""
    if not isinstance(value, int):
        raise TypeError("a number must be an int")
    if value < 0 or value > 0xFFFFFFFFFFFFFFFF:
        return GB_E_RANGE
    (<u64*>at)[0] = <u64>value
    return GB_CODEC_OK


cdef object gb_take_span(object value, const gb_field* f, u8* at):
    """Stores a span over value; returns what must stay alive meanwhile."""
    cdef bytes data
    cdef Py_ssize_t n = 0
    cdef const char* p
    if f.text == GB_ANY or f.text == GB_NODES:
        if not isinstance(value, bytes):
            raise TypeError("a bytes field must be bytes")
        data = <bytes>value
    else:
        if not isinstance(value, str):
            raise TypeError("a string field must be str")
        if PyUnicode_IS_ASCII(value):
            p = PyUnicode_AsUTF8AndSize(value, &n)
            (<gb_span*>at)[0] = gb_make_span(<const u8*>p, <size_t>n)
            return value
        data = (<str>value).encode("utf-8", "surrogatepass")
    (<gb_span*>at)[0] = gb_make_span(<const u8*><const char*>data, <size_t>len(data))
    return data


cdef bytes gb_encode_object(_Kind kind, object value):
    cdef u64 storage[64]
    cdef u8 out[2048]
    cdef u8* base = <u8*>storage
    cdef const gb_field* f
    cdef int field = 0, error = GB_CODEC_OK, at = 0
    cdef u32 i
    cdef ssize_t n
    cdef list alive = []
    if type(value) is not kind.cls:
        raise TypeError(f"expected {kind.cls.__name__}")
    memset(storage, 0, sizeof(storage))
    for i in range(kind.message.count):
        f = &kind.message.fields[i]
        item = getattr(value, kind.names[i])
        if f.flags & GB_NUMBER:
            error = gb_take_number(item, base + f.offset)
            if error:
                at = <int>i + 1
                break
        else:
            alive.append(gb_take_span(item, f, base + f.offset))
    n = gb_encode(kind.message, base, out, sizeof(out), &field)
    # A number that did not fit was left 0: whatever is wrong before it comes first.
    if error and (n >= 0 or field >= at):
        raise gb_codec_error(kind, GB_E_NOT_SUPPORTED if f.flags & GB_RESERVED else error, at)
    if n < 0:
        raise gb_codec_error(kind, <int>-n, field)
    return PyBytes_FromStringAndSize(<const char*>out, n)


cdef _Kind REQUEST = gb_kind(&gb_request_message, RequestHeader)
cdef _Kind RESPONSE = gb_kind(&gb_response_message, ResponseHeader)
cdef _Kind SIGNATURE = gb_kind(&gb_signature_message, Signature)
cdef _Kind ADMISSION = gb_kind(&gb_admission_message, Admission)
cdef _Kind RECEIPT = gb_kind(&gb_receipt_message, Receipt)
cdef _Kind GATE_KEY = gb_kind(&gb_gate_key_message, GateKey)
cdef _Kind REFUSAL = gb_kind(&gb_refusal_message, Refusal)
cdef _Kind SNAPSHOT = gb_kind(&gb_snapshot_message, SnapshotHeader)


def decode_request_header(bytes data not None):
    return gb_decode_object(REQUEST, data)

def decode_response_header(bytes data not None):
    return gb_decode_object(RESPONSE, data)

def decode_signature(bytes data not None):
    return gb_decode_object(SIGNATURE, data)

def decode_admission(bytes data not None):
    return gb_decode_object(ADMISSION, data)

def decode_receipt(bytes data not None):
    return gb_decode_object(RECEIPT, data)

def decode_gate_key(bytes data not None):
    return gb_decode_object(GATE_KEY, data)

def decode_refusal(bytes data not None):
    return gb_decode_object(REFUSAL, data)

def decode_snapshot_header(bytes data not None):
    return gb_decode_object(SNAPSHOT, data)

def encode_request_header(value):
    return gb_encode_object(REQUEST, value)

def encode_response_header(value):
    return gb_encode_object(RESPONSE, value)

def encode_signature(value):
    return gb_encode_object(SIGNATURE, value)

def encode_admission(value):
    return gb_encode_object(ADMISSION, value)

def encode_receipt(value):
    return gb_encode_object(RECEIPT, value)

def encode_gate_key(value):
    return gb_encode_object(GATE_KEY, value)

def encode_refusal(value):
    return gb_encode_object(REFUSAL, value)

def encode_snapshot_header(value):
    return gb_encode_object(SNAPSHOT, value)


def decode_base64(bytes text not None):
    """A -bin metadata value as bytes; CodecError when it is not strict base64."""
    cdef size_t n = <size_t>len(text)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>gb_b64_decoded_max(n))
    cdef ssize_t size = gb_b64_decode(<const u8*><const char*>text, n, <u8*><char*>out, gb_b64_decoded_max(n))
    if size < 0:
        raise CodecError("base64")
    return out[:size]


def encode_base64(bytes data not None):
    """Bytes as a -bin metadata value, without padding."""
    cdef size_t n = <size_t>len(data)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>gb_b64_encoded(n))
    gb_b64_encode(<const u8*><const char*>data, n, <u8*><char*>out)
    return out


def reason_row(unsigned int number):
    """(grpc code, provider called, name, message) of a reason in the compiled table; for the test of that table."""
    cdef gb_span name = gb_reason_name(number)
    cdef gb_span message = gb_reason_message(number)
    return (
        gb_reason_grpc_code(number),
        gb_reason_called(number),
        PyUnicode_DecodeASCII(<const char*>name.p, <Py_ssize_t>name.n, NULL),
        PyUnicode_DecodeASCII(<const char*>message.p, <Py_ssize_t>message.n, NULL),
    )
