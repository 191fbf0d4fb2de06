package dirblob

// OpenOn is Open on another file system.
var OpenOn = open
