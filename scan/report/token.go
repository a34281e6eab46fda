package report

// Token makes a token readable and safe in a line with other things: quoted, with
// what is invisible or written from right to left escaped.
func Token(token string) string { return cell(token) }
