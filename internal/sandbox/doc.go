// Package sandbox lets a process give up what it does not need, for good: with
// Landlock on Linux, and not at all elsewhere.
package sandbox

// Least is the version of Landlock's interface that is needed: the first that
// bounds connections, too (Linux 6.7).
const Least = 4
