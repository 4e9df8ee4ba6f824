package fleet

// take passes a message of a member to what handles its kind: ask.go for questions and answers, report.go for the numbers.
func (f *Fleet) take(b []byte) error {
	var tag byte
	if len(b) > 0 {
		tag = b[0]
	}
	switch tag {
	case questionTag:
		q, err := parseQuestion(b)
		if err == nil {
			f.takeQuestion(q)
		}
		return err
	case answerTag:
		a, err := parseAnswer(b)
		if err == nil {
			f.takeAnswer(&a)
		}
		return err
	default:
		r, err := parseReport(b)
		if err == nil {
			f.takeReport(&r)
		}
		return err
	}
}
