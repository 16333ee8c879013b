package checkin

import "periph.io/x/conn/v3/physic"

// Limits of what a forehead reading may be taken for. All but the ambient ones
// apply to the estimate (design, section 9).
const (
	DefaultFever = 37300*physic.MilliKelvin + physic.ZeroCelsius
	lowestBody   = 34000*physic.MilliKelvin + physic.ZeroCelsius
	highestBody  = 42000*physic.MilliKelvin + physic.ZeroCelsius
	coldAmbient  = 16000*physic.MilliKelvin + physic.ZeroCelsius
	warmAmbient  = 32000*physic.MilliKelvin + physic.ZeroCelsius
)

// Band judges one reading: object is the forehead's surface, ambient the air
// at the sensor.
func (p *Policy) Band(object, ambient physic.Temperature) Band {
	if ambient < coldAmbient || ambient > warmAmbient {
		return Unmeasured
	}
	body := EstimateBody(object, ambient)
	fever := p.Fever
	if fever == 0 {
		fever = DefaultFever
	}
	switch {
	case body < lowestBody || body > highestBody:
		return Unmeasured
	case body >= fever:
		return Fever
	}
	return Normal
}

// EstimateBody estimates the body's temperature from the forehead's surface
// and the ambient air, by the reference table that Melexis published for
// forehead thermometers. It is an estimate: the table is not clinically
// validated by its own note. The result is rounded to a hundredth of a degree.
func EstimateBody(object, ambient physic.Temperature) physic.Temperature {
	tf, ta := object.Celsius(), ambient.Celsius()
	lo, hi := foreheadRange(ta)
	var body float64
	switch {
	case tf < lo:
		body = 36.3 + (0.551658273+0.021525068*ta)*(tf-lo)
	case tf <= hi:
		body = 36.3 + 0.5/(hi-lo)*(tf-lo)
	default:
		body = 36.8 + (0.829320618+0.002364434*ta)*(tf-hi)
	}
	return celsius(body)
}

// foreheadRange returns the forehead temperatures of a healthy person at the
// ambient temperature ta: bodies of 36.3 to 36.8 °C.
func foreheadRange(ta float64) (lo, hi float64) {
	if ta <= 25 {
		return 32.66 + 0.186*(ta-25), 34.84 + 0.148*(ta-25)
	}
	return 32.66 + 0.086*(ta-25), 34.84 + 0.100*(ta-25)
}

// celsius converts degrees to a Temperature, rounded to 0.01 K and kept within
// -273 and 1000 °C, so that no reading can overflow.
func celsius(c float64) physic.Temperature {
	c = min(max(c, -273), 1000)
	hundredths := int64(c*100 + 0.5)
	if c < 0 {
		hundredths = int64(c*100 - 0.5)
	}
	return physic.Temperature(hundredths)*10*physic.MilliKelvin + physic.ZeroCelsius
}
