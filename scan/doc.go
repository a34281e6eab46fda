// Package scan gathers evidence that a fine-tuned checkpoint is backdoored and
// judges it.
//
// Evidence is data: each detector returns typed, serialisable values, and the
// verdict is one pure function of them and a [Policy] ([Policy.Judge]). The
// package sees a checkpoint only as [Rows]; it knows no file format, reads no
// environment and prints nothing. The methods, with the source of every
// constant, are in docs/methods.md.
//
// Everything in the rows is the attacker's: NaN and infinite values are
// findings, never a crash, and an unfinished scan is never "clean".
package scan
