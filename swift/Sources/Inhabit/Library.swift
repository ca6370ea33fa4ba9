import CInhabit

/// The header and the library are of one version; anything else would be a mistake in building.
private let isOfThisVersion = inhabit_abi_version() == UInt32(INHABIT_ABI_VERSION)

/// Turns an answer of the C library into an error that names the argument.
func check(_ status: inhabit_status, argument: String) throws {
    guard isOfThisVersion else {
        throw InhabitError.library(
            "expected version \(INHABIT_ABI_VERSION) of the C interface, got \(inhabit_abi_version())")
    }
    guard status != INHABIT_OK else { return }
    let message = String(cString: inhabit_status_message(status))
    switch Int(status) {
    case INHABIT_NON_FINITE: throw InhabitError.nonFinite(argument: argument)
    case INHABIT_CHECKPOINT, INHABIT_MISSING: throw InhabitError.checkpoint(message)
    default: throw InhabitError.config(argument: argument, reason: message)
    }
}

/// The elements of an output whose length the C library tells when it is asked without memory.
func filled<T>(
    of type: T.Type, argument: String,
    _ call: (UnsafeMutablePointer<T>?, Int, inout Int) -> inhabit_status
) throws -> [T] {
    var count = 0
    try check(call(nil, 0, &count), argument: argument)
    return try [T](unsafeUninitializedCapacity: count) { buffer, initialized in
        try check(call(buffer.baseAddress, count, &count), argument: argument)
        initialized = count
    }
}
