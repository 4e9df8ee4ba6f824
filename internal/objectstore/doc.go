// Package objectstore reads and writes the objects of one place in an object store that speaks the S3 protocol.
//
// Every request is made once, because the caller knows better when to try again, and with what. Only a read that brings nothing for a
// while is requested again, on another connection, because one of the servers of the store may have died. A store that
// sends nothing for Patience has failed. Errors are of type *Error, whose Kind says what to do about it. All
// requests and bytes are counted, because stores charge for them. Units are bytes.
package objectstore
