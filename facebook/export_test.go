package facebook

// SplitText is splitText.
var SplitText = splitText
