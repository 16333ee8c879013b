// Package nearest measures how far a misspelt word is from a known one.
package nearest

// Distance is Levenshtein's: the bytes to change, add or drop between a and b.
// It takes len(a)·len(b) steps, so the caller bounds both.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
