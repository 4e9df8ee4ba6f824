// Package settings has the settings of a node as flags, environment variables and the settings
// file. Table describes each once. The flags, the environment variables, the settings file and
// the tables of the manual are derived from it. Those that can change while a node or a daemon
// runs are described in package daemon.
//
// A value comes from the command line, or else from the environment, the settings file, or the
// default. Package daemon keeps what clients change while a daemon runs.
package settings
