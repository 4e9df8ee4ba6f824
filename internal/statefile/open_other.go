//go:build !unix

package statefile

// NonBlock is a flag for os.OpenFile; it is not needed on this system.
const NonBlock = 0
