//go:build !race

package hosted

// siegeHosts is from how many addresses attackers come.
const siegeHosts = 16
