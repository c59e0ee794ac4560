package antomagent

// The codes that a caller of agent.sock can meet. Others, and those of later versions, are known by their Class.
const (
	CodeBadFrame          = 100 // the frame does not hold one well-formed message
	CodeFrameTooLarge     = 101 // the frame is larger than the limit
	CodeUnknownMethod     = 102 // there is no such method on this socket
	CodeBadVersion        = 103 // no protocol version in common
	CodeBadParam          = 104 // a parameter is missing, unknown, or out of form
	CodeTimeSkew          = 105 // the time given is too far from this machine's clock
	CodeWrongEnvironment  = 106 // the path belongs to the other environment
	CodeNotSignedCall     = 107 // Antom takes this call unsigned; it is not for the agent
	CodeDenied            = 200 // not granted, or no such profile
	CodeLocked            = 300 // the agent is locked
	CodeProfileIncomplete = 301 // the profile has no client id
	CodeNoActiveKey       = 302 // the profile has no active merchant key
	CodeNoAntomKey        = 303 // the profile has no Antom key
	CodeKeyState          = 304 // the key's state does not allow this
	CodeNotFound          = 306 // there is no such thing
	CodeRegistry          = 310 // the registry does not verify
	CodeNotReady          = 315 // the agent is starting
	CodeAudit             = 316 // the record cannot be written
	CodeRolledBack        = 317 // the registry is older than the record says
	CodeMerchantSuspended = 326 // the merchant is suspended
	CodeUnsigned          = 400 // the message carries no signature and proves nothing
	CodeHalfSigned        = 401 // one of client id, time and signature is missing
	CodeSignatureForm     = 402 // the Signature header is not of the documented form
	CodeTimeForm          = 403 // the time header is not of a documented form
	CodeWrongClientID     = 404 // the client id header is not this profile's
	CodeSignatureInvalid  = 405 // the signature does not match under any Antom key held
	CodeTooOld            = 406 // the message is older than allowed
	CodeInTheFuture       = 407 // the message's time lies in the future
	CodeBusy              = 500 // too much work is waiting
	CodeRetry             = 501 // a part of the agent was restarted; repeat the request
	CodeBackend           = 502 // the keyring cannot be reached
	CodeDeadline          = 503 // the deadline passed before the work was done
	CodeDraining          = 504 // the agent is stopping
	CodeUnreachable       = 505 // the agent cannot be reached
	CodeTimeout           = 506 // no answer came in time
	CodeInternal          = 600 // the agent met an error of its own
	CodeNoMemory          = 601 // out of memory
	CodeIO                = 602 // the operating system refused a read or a write
	CodeProtection        = 603 // a protection that was asked for cannot be had
)
