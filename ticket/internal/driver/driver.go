// Package driver holds what the stores of this module do alike: the cursors of
// pages, the columns of lists, the form in which entities are kept, what a commit
// sets in its changes, and the following of references.
package driver
