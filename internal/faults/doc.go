// Package faults holds the client to its promises on a bad network. It has nothing but tests: they put
// Toxiproxy, a relay that breaks connections at a chosen byte, an HTTP/2 server that refuses and resets, and
// servers with the wrong certificate between the client and the stand-in server, and say for each verb and each
// fault what must come of it.
//
// It is a module of its own, so that what it needs is not what the client needs. "make faults" runs it, and prints
// the tables.
package faults
