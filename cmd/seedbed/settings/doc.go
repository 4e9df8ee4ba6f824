// Package settings defines the values that users give to the program (sizes, addresses,
// words and lists), how they are parsed, and the messages for invalid ones.
//
// Sizes are in bytes, rates in bytes per second. An invalid value gives an error of one
// sentence that says what is expected.
package settings
