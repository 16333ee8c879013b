package configs

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// creditAlphabet are the characters of a unified social credit code in the
// order of their values, 0 to 30.
const creditAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// CreditCode says what is wrong with a unified social credit code (统一社会信用代码,
// GB 32100-2015): 18 characters, the last of which checks the others. nil
// means that it checks out, not that anybody has it.
//
// It stands here and not with the credentials of visitors: it names the owner
// of a venue, and an operator who mistypes it wants to be told the line.
func CreditCode(s string) error {
	if n := utf8.RuneCountInString(s); n != 18 {
		return fmt.Errorf("has %d characters, not 18", n)
	}
	sum, weight := 0, 1
	for i, r := range []rune(s) {
		v := strings.IndexRune(creditAlphabet, r)
		switch {
		case 'a' <= r && r <= 'z':
			return fmt.Errorf("has a small letter in place %d; its letters are capitals", i+1)
		case v < 0:
			return fmt.Errorf("has %q in place %d; there are only digits and capitals, without I, O, S, V and Z", r, i+1)
		case i == 17:
			weight = 1 // the check counts as it is
		}
		sum += v * weight
		weight = weight * 3 % 31
	}
	if sum%31 != 0 {
		return errors.New("does not check out: a character is wrong, or two have changed places")
	}
	return nil
}
