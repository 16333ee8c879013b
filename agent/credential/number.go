package credential

import "time"

// citizen checks a number of 18 (GB 11643-1999): six digits of area, the
// birth date, three of order whose last is odd for men and even for women, and
// an ISO 7064 MOD 11-2 check. Foreign numbers of layout Y have the same parts
// in the same places.
func citizen(s string, c *Card, today time.Time) bool {
	if len(s) != 18 || !digits(s[:17]) || s[17] != mod11(s) {
		return false
	}
	birth := s[6:14]
	if !born(birth, today) {
		return false
	}
	if b := unpad(c.Birth); b != "" && b != birth {
		return false
	}
	male := s[16]%2 == 1
	switch unpad(c.Sex) {
	case "1":
		return male
	case "2":
		return !male
	}
	return true
}

// earliest is the oldest birth year that is believed. The vector of GB 11643
// itself was born in 1880.
const earliest = 1850

// born reports whether s is a day on which a living person can have been born.
func born(s string, today time.Time) bool {
	day, ok := date(s)
	if !ok || day.Year() < earliest {
		return false
	}
	return today.IsZero() || !day.After(dayOf(today))
}

// mod11 gives the check character of the first 17 digits of s (ISO 7064).
func mod11(s string) byte {
	weights := [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		sum += w * int(s[i]-'0')
	}
	return "10X98765432"[sum%11]
}

// lengthen turns a number of 15 digits into the one of 18: the century goes
// before the year, the check behind. The orders 996 to 999 were kept for those
// born before 1900. Anything else it leaves alone.
func lengthen(s string) string {
	if len(s) != 15 || !digits(s) {
		return s
	}
	century := "19"
	if s[12:] >= "996" {
		century = "18"
	}
	long := s[:6] + century + s[6:]
	return long + string(mod11(long))
}

// permit reports whether s has the area of a permit for residents of Hong
// Kong, Macao or Taiwan: 810000, 820000 or 830000.
func permit(s string) bool {
	if len(s) != 18 {
		return false
	}
	area := s[:6]
	return area == "810000" || area == "820000" || area == "830000"
}

// oldForeign checks a card number of layout I, 15 characters: country in three
// letters, four digits of area, the birth date as YYMMDD, one of order, and a
// check: the sum of the values times 7, 3, 1 in turn, modulo 10 (as in ICAO
// 9303; letters count from A = 10).
func oldForeign(s string, c *Card, today time.Time) bool {
	if len(s) != 15 || !letters(s[:3]) || !digits(s[3:]) || s[14] != mod731(s[:14]) {
		return false
	}
	birth := s[7:13]
	if b := unpad(c.Birth); b != "" {
		return born(b, today) && b[2:] == birth
	}
	return born("19"+birth, today) || born("20"+birth, today)
}

// mod731 gives the check digit of s, which is capitals and digits.
func mod731(s string) byte {
	sum := 0
	for i := range len(s) {
		v := int(s[i] - '0')
		if s[i] >= 'A' {
			v = int(s[i]-'A') + 10
		}
		sum += v * [3]int{7, 3, 1}[i%3]
	}
	return '0' + byte(sum%10)
}

func letters(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}
