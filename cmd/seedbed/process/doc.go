// Package process connects the program with the system that runs it: it handles SIGHUP and
// the signals that end the program, sends messages to a service manager (sd_notify), and
// adjusts the memory limit of the garbage collector.
package process
