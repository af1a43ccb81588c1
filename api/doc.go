// Package api is a client for the agents of the Z.AI API, generated from the published
// OpenAPI description, with a thin layer that makes the calls safe to use.
//
// # Levels
//
// The verbs are methods of [ClientWithResponses], which [New] makes; on one that
// NewClientWithResponses made they refuse to work. Submit sends a request that becomes a task, Wait and Watch poll it until it has ended, WaitAll does so for many, and
// Retrieve looks once. Invoke returns an answer that comes at once, and Stream yields one as it
// is written. Conversation reads the files of a deck, Upload sends a file, and Download and
// DownloadFile fetch one. They return a [Result], one type for every answer, and errors that a
// program can act on.
//
// The generated methods, such as RetrieveAgentResultWithResponse, speak the wire format
// as it is described. On a client that New made they are bounded and keep the key safe just
// the same, but they are not retried, a refusal is no error of theirs, and a body that is not
// JSON leaves their fields nil or, where it is declared as JSON, is an error without the HTTP
// status. A Result of theirs is read as tolerantly as any other.
//
// # Results
//
// The server writes the same answer in many shapes: messages for message, an object for
// a list, a string for an object, and failures inside HTTP 200. A Result reads them all:
// Status is pending, success or failed, also where it has to be derived; VideoURLs, FileURLs,
// ImageURLs and Text collect the output; [Result.Err] is a [*TaskError] when the task failed;
// Raw is the answer as it was received.
//
// # Errors
//
// A call that gives no answer returns an [*Error], with the HTTP status, the business code
// and the request id. A task that failed is a [*TaskError]. Both match the classes of this
// package with errors.Is, such as [ErrQuota], and tell with Retryable whether the failure
// is transient. What is refused before anything is sent matches [ErrInvalidRequest] and has
// the StatusCode 0. A wait that ended before its task is a [*WaitError].
//
// When the context ends, the error matches context.Canceled or context.DeadlineExceeded, and the
// cause of the context. Where that is an error of this package, such as that of a sibling in an
// errgroup, it tells of another call, and its class and type are not matched.
//
// # Money
//
// Agents bill each run. What creates (Invoke, Submit, Stream, Upload) is sent once, and repeated only
// after an answer that proves that nothing was created. Where the answer was lost, the
// error matches [ErrUnknownOutcome] and carries the request id that was sent: the run may be there.
//
// # Bounds and secrets
//
// Every attempt is bounded in time ([WithTimeout]), every body in size ([WithMaxBody]), and
// every retry in number ([WithMaxAttempts]) and by the context. The key goes to the origin of the base URL
// and nowhere else: over https (or loopback), never after a redirect, and never into an
// error, a log or a formatted value. Where the server echoes the key, it is masked.
package api
