//go:build race

package hosted

// siegeHosts is small since the race detector makes reading a mail slow.
const siegeHosts = 3
