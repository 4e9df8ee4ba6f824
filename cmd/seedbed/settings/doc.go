// Package settings owns the values that a person gives to the program: sizes, addresses,
// words and lists, how they are read, and what is said when they are wrong.
//
// Sizes are in bytes, rates in bytes a second. A value that makes no sense is an error
// in one sentence that says what is expected.
package settings
