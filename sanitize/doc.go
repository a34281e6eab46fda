// Package sanitize takes a backdoor out of a checkpoint, and shows that it is
// gone.
//
// A [Plan] names the rows of the token embedding that a scan found to belong to
// a trigger. They are overwritten as Backdoor Token Unlearning does it (BTU, AAAI
// 2025, arXiv 2501.03272): with the values of a token that means nothing. The
// least edit that works is kept: the dimensions that moved, else whole rows. A
// short fine-tune on clean data may follow. How often each trigger still
// succeeds, and what the model otherwise answers, is measured before and after.
//
// # What happens to files
//
// The input is only read. A [Folder] copies it to a temporary name beside the
// output, where it is changed and measured, and renames it when all is done; an
// error leaves nothing behind. In the copy only the numbers of the named rows
// change, and with a fine-tune those of the trained tensors.
//
// The package sees models, tokenizers and matrices through small interfaces; it
// prints nothing.
package sanitize
