// Package freespace measures the space of file systems, in bytes.
package freespace
