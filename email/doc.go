// Package email understands and composes mail. It uses no network.
package email
